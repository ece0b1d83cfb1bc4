"""`manage.py up` as a real process: everything comes up, what dies comes back, and Ctrl-C ends all of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from opsite.embedded.stack import EmbeddedStack
from opsite.service import Service
from opsite.supervisor import FIRST_PAUSE_S, LONGEST_PAUSE_S, pause_s
from tests.faces.conftest import free_port

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 90.0
pytestmark = pytest.mark.timeout(300)


class Up:
    """The command, with its output at hand."""

    def __init__(self, folder: Path, port: int) -> None:
        env = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY")}
        self.url = f"http://127.0.0.1:{port}"
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--port", str(port)],
            cwd=ROOT,
            env={**env, "OPSITE_DATA_DIR": str(folder), "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                self.lines.append(line.rstrip())

    def said(self, pattern: str) -> re.Match[str]:
        """The first line that fits, as soon as it is there."""
        return until(lambda: next(filter(None, (re.search(pattern, line) for line in list(self.lines))), None), self)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """The signal, and the exit status; all of the output was read."""
        self.process.send_signal(number)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # whose handler says where it is
            self._reader.join(60)
            raise AssertionError("it does not end:\n" + "\n".join(self.lines[-80:])) from None
        self._reader.join(60)
        return code

    def children(self) -> dict[str, psutil.Process]:
        """The supervised processes by what they are."""
        found = {}
        for child in psutil.Process(self.process.pid).children():
            words = " ".join(child.cmdline())
            for name in ("serve", "orchestrate", "record", "effects", "celery"):
                if name in words and "redis-server" not in words:
                    found[name] = child
        return found


def until(check: Callable[[], Any], up: Up) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, "\n".join(up.lines[-40:])
        time.sleep(0.05)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("up")
    for parent in (folder, *folder.parents[:3]):
        parent.chmod(0o755)
    return folder


@pytest.fixture
def up(folder: Path) -> Iterator[Up]:
    up = Up(folder, free_port())
    yield up
    up.end()


def test_up_from_nothing_and_down(up: Up, folder: Path) -> None:
    password = up.said(r"user admin, password (\S+) ").group(1)
    up.said("Ctrl-C")
    children = until(lambda: up.children() if len(up.children()) == 5 else None, up)
    with httpx.Client(base_url=up.url, follow_redirects=True) as client:
        form = client.get("/console/login/").text
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
        assert token is not None
        login = {"login": "admin", "password": password, "csrfmiddlewaretoken": token.group(1)}
        page = client.post("/console/login/?next=/console/", data=login)
        assert 'id="overview"' in page.text
        assert client.get("/static/opsite/overview.js").status_code == 200
        assert client.get("/api/docs/").status_code == 200
    manage = rf"OPSITE_DATA_DIR={folder} .*python manage\.py"
    said = [
        rf"starting; data under {folder}",
        r"console account made: user admin, password \S+ \(shown this once\)",
        rf"Opsite runs: web, orchestrator, recorder, effects, celery; Postgres and Redis under {folder}",
        rf"  console   {up.url}/console/   user admin \(a new password: {manage} changepassword admin\)",
        rf"  API       {up.url}/api/docs/",
        rf"  try next  {manage} quickstart --url {up.url}",
        r"            \(in a second terminal: .*\)",
        r"  Ctrl-C    ends everything",
    ]
    lines = [line for line in up.lines if "this orchestrator leads" not in line]
    assert len(lines) == len(said), lines  # and nothing of the libraries
    for line, pattern in zip(lines, said, strict=True):
        assert re.fullmatch(pattern, line)

    children["record"].kill()
    up.said(r"recorder ended by SIGKILL; starting it again in 0.5 s")
    until(lambda: "record" in up.children() and up.children()["record"].pid != children["record"].pid, up)

    everything = psutil.Process(up.process.pid).children(recursive=True)
    assert up.end(signal.SIGINT) == 0, "\n".join(up.lines[-40:])
    assert up.lines[-2:] == ["ending celery, effects, recorder, orchestrator, web", "stopped"]
    _, alive = psutil.wait_procs(everything, timeout=30)
    assert not alive


def test_ctrl_c_before_all_runs_leaves_no_traceback(up: Up, folder: Path) -> None:
    up.said("starting; data under")  # an empty database is migrated now
    assert up.end(signal.SIGINT) == 130
    assert up.lines == [f"starting; data under {folder}"]
    left = [one for one in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(one.info["cmdline"] or ())]
    assert left == []


def test_ctrl_c_that_was_passed_over_ends_it_when_all_is_prepared() -> None:
    service = Service(host="127.0.0.1", port=free_port(), say=print)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), service.interruptible(), suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    with service.interruptible():
        pass
    assert signal.getsignal(signal.SIGINT) is before


def test_children_do_not_outlive_a_killed_supervisor(up: Up, folder: Path) -> None:
    up.said("Ctrl-C")
    children = list(until(lambda: up.children() if len(up.children()) == 5 else None, up).values())
    up.process.kill()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
    servers = EmbeddedStack(folder)  # they do, for the next supervisor to take over
    servers.start()
    assert servers.owned
    servers.stop()


def test_a_taken_port_is_said_plainly(folder: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        up = Up(folder, taken.getsockname()[1])
        assert up.process.wait(60) == 1
        up.end()
        up.said(r"port \d+ of 127\.0\.0\.1 is taken .*: choose another, e\.g\. make up PORT=\d+")


@pytest.mark.parametrize(("deaths", "pause"), [(1, FIRST_PAUSE_S), (2, 1.0), (3, 2.0), (9, LONGEST_PAUSE_S)])
def test_pauses_between_deaths(deaths: int, pause: float) -> None:
    assert pause_s(deaths) == pause
