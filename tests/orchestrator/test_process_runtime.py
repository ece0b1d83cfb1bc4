"""Worker processes by the runtime alone: found again, never mistaken, no zombies, no secrets passed on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.runtimes import StartFailed, WorkerSpec
from orchestrator.runtimes.proc import start_ticks
from orchestrator.runtimes.process import ProcessRuntime, inherited
from tests.orchestrator.conftest import ROOT, wait_for


@pytest.fixture
def runtime(tmp_path: Path) -> ProcessRuntime:
    return ProcessRuntime(stack="stack-of-test", folder=tmp_path, working_directory=ROOT)


def spec(redis_url: str, **fields: object) -> WorkerSpec:
    env = {"OPSITE_REDIS_URL": redis_url, "OPSITE_ENGINE": "simulated"}
    given = {"worker": "worker-1", "pool": "p", "stack": "s", "env": env, "python": sys.executable, **fields}
    return WorkerSpec(**given)  # type: ignore[arg-type]


def silent(words: str) -> None:
    """Nobody listens."""


def test_a_worker_is_found_again_by_another_runtime(runtime: ProcessRuntime, tmp_path: Path, redis_url: str) -> None:
    ref = runtime.start(spec(redis_url), silent)
    try:
        other = ProcessRuntime(stack="stack-of-test", folder=tmp_path, working_directory=ROOT)
        (found,) = other.list()
        assert (found.ref, found.worker, found.pool, found.alive) == (ref, "worker-1", "p", True)
        # Even when the orchestrator died before it had written the card:
        (tmp_path / "worker-1.card").unlink()
        assert other.list() == []
        other.adopt()
        (found,) = other.list()
        assert (found.worker, found.alive) == ("worker-1", True)
        stranger = ProcessRuntime(stack="another-stack", folder=tmp_path / "other", working_directory=ROOT)
        stranger.adopt()
        assert stranger.list() == []
    finally:
        runtime.kill(ref)
    wait_for(lambda: not runtime.list()[0].alive, what="it is dead")
    assert runtime.list()[0].exit_code == -signal.SIGKILL
    runtime.remove(ref)
    assert runtime.list() == []


def test_a_worker_whose_card_cannot_be_written_is_adopted_and_the_rest_goes_on(
    runtime: ProcessRuntime, tmp_path: Path, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    ref = runtime.start(spec(redis_url), silent)
    other = ProcessRuntime(stack="stack-of-test", folder=tmp_path, working_directory=ROOT)
    card = tmp_path / "worker-1.card"
    kept = card.rename(tmp_path / "worker-1.kept")
    try:
        (tmp_path / "worker-1.draft").mkdir()  # no file can be written there
        old = tmp_path / "old.log"
        old.mkdir()  # nor can this be unlinked
        (old / "x").touch()
        os.utime(old, (0, 0))
        gone = tmp_path / "other.log"
        gone.touch()
        os.utime(gone, (0, 0))
        other.adopt()
        (found,) = other.list()
        assert (found.worker, found.alive) == ("worker-1", True)
        assert not gone.exists()
        assert "the card of worker worker-1 cannot be written" in caplog.text
        assert "old.log stays" in caplog.text
        other.kill(ref)
    finally:
        kept.rename(card)
        runtime.kill(ref)
    wait_for(lambda: not other.list()[0].alive, what="it is dead")
    other.remove(ref)
    assert other.list() == []


def test_the_exit_code_and_the_log_are_kept_and_no_zombie_stays(
    runtime: ProcessRuntime, tmp_path: Path, redis_url: str
) -> None:
    ref = runtime.start(spec(redis_url, env={"OPSITE_REDIS_URL": redis_url, "OPSITE_ENGINE": "steam"}), silent)
    wait_for(lambda: not runtime.list()[0].alive, what="it has ended")
    assert runtime.list()[0].exit_code == 78
    assert "opsite-worker: error:" in runtime.log_tail(ref)
    assert "steam" in runtime.log_tail(ref)
    pid = json.loads((tmp_path / f"{ref}.card").read_bytes())["pid"]
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("agrees", ["start time", "nothing"])
def test_a_pid_that_was_given_to_somebody_else_is_left_alone(
    runtime: ProcessRuntime, tmp_path: Path, agrees: str
) -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        ticks = start_ticks(stranger.pid)
        assert ticks
        ticks += 0 if agrees == "start time" else 1
        card = {"worker": "worker-1", "pool": "p", "pid": stranger.pid, "ticks": ticks}
        (tmp_path / "worker-1.card").write_text(json.dumps(card))
        (instance,) = runtime.list()
        assert not instance.alive
        runtime.stop("worker-1", 1)
        runtime.kill("worker-1")
        runtime.remove("worker-1")
        with pytest.raises(subprocess.TimeoutExpired):
            stranger.wait(0.3)
        stranger.kill()


def test_an_engines_leftovers_end_with_their_worker(runtime: ProcessRuntime) -> None:
    env = {**os.environ, "OPSITE_WORKER_ID": "worker-1", "OPSITE_STACK": "stack-of-test", "OPSITE_RUNTIME": "process"}
    with subprocess.Popen(["sleep", "60"], env=env) as leftover:
        runtime.remove("worker-1")
        assert leftover.wait(10) == -signal.SIGKILL


def test_a_containers_process_is_not_taken_for_a_worker_process(runtime: ProcessRuntime) -> None:
    env = {**os.environ, "OPSITE_WORKER_ID": "worker-1", "OPSITE_STACK": "stack-of-test", "OPSITE_RUNTIME": "docker"}
    with subprocess.Popen(["sleep", "60"], env=env, start_new_session=True) as contained:
        runtime.adopt()
        assert runtime.list() == []
        runtime.remove("worker-1")
        assert contained.poll() is None
        contained.kill()


def test_a_wrong_interpreter_is_named(runtime: ProcessRuntime, redis_url: str) -> None:
    with pytest.raises(StartFailed, match=r"/no/such/python.*OPSITE_WORKER_PYTHON"):
        runtime.start(spec(redis_url, python="/no/such/python"), silent)


def test_a_worker_inherits_no_secrets() -> None:
    environ = {
        "PATH": "/bin",
        "HF_HOME": "/models",
        "CUDA_HOME": "/cuda",
        "DATABASE_URL": "postgresql://…",
        "REDIS_URL": "redis://…",
        "SECRET_KEY": "…",
        "AWS_SECRET_ACCESS_KEY": "…",
        "OPSITE_DATA_DIR": "/data",
    }
    assert inherited(environ) == {"PATH": "/bin", "HF_HOME": "/models", "CUDA_HOME": "/cuda"}
