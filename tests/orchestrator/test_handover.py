"""A planned hand-over and a lost lead: what a start under way was given is not given to another worker."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.fleet import Fleet
from orchestrator.host import LeadLost
from orchestrator.loop import Orchestrator
from orchestrator.models import Worker
from orchestrator.runtimes import StartAbandoned, WorkerSpec
from orchestrator.runtimes.process import ProcessRuntime
from tests.orchestrator.conftest import Site, wait_for


def spec(site: Site) -> WorkerSpec:
    env = {"OPSITE_REDIS_URL": site.redis_url, "OPSITE_ENGINE": "simulated"}
    return WorkerSpec(worker="worker-1", pool="p", stack=site.env["OPSITE_STACK"], env=env, python=sys.executable)


def test_a_leader_that_ends_gives_up_the_lead_after_the_starts_that_are_under_way(
    site: Site, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OPSITE_GPUS = "0"
    pool = site.pool(policy={"min_workers": 1, "max_workers": 1}, gpus_per_worker=1)
    under_way, go, events = threading.Event(), threading.Event(), list[str]()
    start = ProcessRuntime.start

    def slow(self: ProcessRuntime, spec: WorkerSpec, progress: Callable[[str], None]) -> str:
        under_way.set()
        assert go.wait(60)
        ref = start(self, spec, progress)
        events.append("started")
        return ref

    monkeypatch.setattr(ProcessRuntime, "start", slow)
    first, stop_first = Orchestrator(tick_s=0.05), threading.Event()
    second, stop_second = Orchestrator(tick_s=0.05), threading.Event()
    close, resign = first._host.fleet.close, first._leadership.resign
    monkeypatch.setattr(first._host.fleet, "close", lambda: (go.set(), close()))
    monkeypatch.setattr(first._leadership, "resign", lambda: (events.append("resigned"), resign()))
    leads = threading.Thread(target=first.run, args=(stop_first,))
    stands_by = threading.Thread(target=second.run, args=(stop_second,))
    try:
        leads.start()
        assert under_way.wait(60)
        stands_by.start()
        stop_first.set()
        leads.join(60)
        assert events == ["started", "resigned"]
        wait_for(lambda: site.ready(pool), what="the next leader finds the worker")
    finally:
        for stop, thread in ((stop_first, leads), (stop_second, stands_by)):
            stop.set()
            go.set()
            thread.join(60)
    assert [(worker.state, worker.gpus) for worker in Worker.objects.all()] == [("ready", ["0"])]


def test_a_start_does_not_go_on_without_the_lead(site: Site) -> None:
    leads = True

    def confirm() -> None:
        if not leads:
            raise LeadLost

    class Slow(ProcessRuntime):
        def start(self, spec: WorkerSpec, progress: Callable[[str], None]) -> str:
            nonlocal leads
            leads = False  # while it pulls
            progress("starting")
            return super().start(spec, progress)

    folder, stack = site.folder / "workers", site.env["OPSITE_STACK"]
    fleet = Fleet(
        {"process": Slow(stack=stack, folder=folder, working_directory=site.folder)}, grace_s=1.0, confirm=confirm
    )
    fleet.start(spec(site), "process")
    (outcome,) = wait_for(lambda: list(fleet.outcomes({"worker-1"}).values()), what="the start is over")
    assert isinstance(outcome, StartAbandoned)
    assert str(outcome) == "The orchestrator lost the lead before it had started it."
    assert not site.pids()
    assert fleet.outcomes({"another"}) == {}
    fleet.close()
