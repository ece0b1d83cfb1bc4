"""What the tests start by the fork server is a process of its own, as `subprocess` would have made it."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.processes import ROOT, start_process

BOUND_S = 60.0
TELL = """
import json, os, sys
print(json.dumps({"argv": sys.argv, "name": __name__, "own": os.environ["OWN"], "home": os.environ.get("HOME"),
                  "cwd": os.getcwd(), "settings": "opsite.settings" in sys.modules, "pid": os.getpid()}))
print("aside", file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""
WAIT = "import signal\nsignal.pause()\n"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.py"
    path.write_text(TELL)
    return path


def test_it_has_its_own_arguments_environment_output_and_exit_code(script: Path, tmp_path: Path) -> None:
    for code, own in ((0, "first"), (7, "second")):
        with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
            process = start_process(str(script), str(code), env={"OWN": own}, stdout=out, stderr=err)
        assert process.wait(BOUND_S) == process.returncode == process.poll() == code
        assert json.loads((tmp_path / "out").read_text()) == {
            "argv": [str(script), str(code)], "name": "__main__", "own": own, "home": None,
            "cwd": str(ROOT), "settings": False, "pid": process.pid,
        }  # fmt: skip
        assert (tmp_path / "err").read_text() == "aside\n"


def test_signals_reach_it_and_its_end_is_told(tmp_path: Path) -> None:
    script = tmp_path / "wait.py"
    script.write_text(WAIT)
    processes = [start_process(str(script), env={}) for _ in range(3)]
    for one in processes:
        with pytest.raises(subprocess.TimeoutExpired):
            one.wait(0)
        assert one.poll() is None
    processes[1].terminate()
    processes[2].kill()
    processes[0].send_signal(signal.SIGUSR1)
    assert [one.wait(BOUND_S) for one in reversed(processes)] == [-signal.SIGKILL, -signal.SIGTERM, -signal.SIGUSR1]
    for one in processes:
        one.kill()  # nobody is there any more
