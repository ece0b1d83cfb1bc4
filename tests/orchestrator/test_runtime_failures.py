"""A runtime that fails, in whatever way, holds up its own pools only."""

from __future__ import annotations

import time

import pytest

from orchestrator.fleet import Fleet
from orchestrator.loop import Orchestrator
from orchestrator.runtimes import RuntimeUnavailable
from orchestrator.runtimes.docker import LOOK_TIMEOUT_S, TIMEOUT_S, DockerRuntime
from orchestrator.runtimes.process import ProcessRuntime
from tests.orchestrator.conftest import ROOT, Site
from tests.orchestrator.engine import engine_that_says


def test_an_engine_that_answers_with_an_error_stops_no_other_pool(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with engine_that_says((500, '{"message": "boom"}')) as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        with pytest.raises(RuntimeUnavailable, match="The Docker engine fails, see its log: boom"):
            DockerRuntime(stack="s").list()
        without, other = site.pool(runtime="docker", policy={"min_workers": 1}), site.pool(policy={"min_workers": 1})
        orchestrator = Orchestrator()
        assert orchestrator._leadership.campaign()
        orchestrator._begin()
        orchestrator.tick()
        orchestrator._leadership.resign()
    assert len(site.live(other)) == 1
    assert not site.live(without)
    assert "The Docker engine fails" in site.reasons(without)[0]


def test_an_engine_that_is_silent_holds_the_tick_up_for_seconds_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with engine_that_says(None) as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        begun_at = time.monotonic()
        with pytest.raises(RuntimeUnavailable, match="Docker engine is not reachable"):
            DockerRuntime(stack="s").list()
        assert time.monotonic() - begun_at < 3 * LOOK_TIMEOUT_S


def test_only_what_is_done_on_threads_may_wait_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker's client tells its bound: each call is made by the client of its kind."""
    with engine_that_says((200, "[]")) as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        runtime = DockerRuntime(stack="s")
        assert runtime.list() == []
        assert runtime._connections.keys() == {LOOK_TIMEOUT_S}
        assert runtime._connections[LOOK_TIMEOUT_S].api.timeout == LOOK_TIMEOUT_S <= 5
    with engine_that_says((404, '{"message": "No such image: x"}')) as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        runtime = DockerRuntime(stack="s")
        for act in (runtime.kill, runtime.remove, runtime.log_tail, lambda ref: runtime.stop(ref, 1)):
            act("x")
        assert runtime._connections.keys() == {LOOK_TIMEOUT_S}
        assert not runtime.has_image("x")
        assert runtime._connections.keys() == {LOOK_TIMEOUT_S, TIMEOUT_S}


def test_whatever_a_runtime_fails_with_it_is_unavailable_and_the_log_says_so_once(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(ProcessRuntime):
        def list(self) -> list[object]:  # type: ignore[override]
            raise KeyError("State")

    broken = Broken(stack="s", folder=site.folder, working_directory=ROOT)
    fleet = Fleet({"process": site.runtime, "docker": broken}, grace_s=1.0, confirm=lambda: None)
    for _ in range(2):
        sight = fleet.look(["docker", "process"])
        assert sight.unavailable.keys() == {"docker"}
        assert "KeyError('State')" in sight.unavailable["docker"]
    assert caplog.text.count("the runtime docker cannot be asked") == 1
    fleet.close()
