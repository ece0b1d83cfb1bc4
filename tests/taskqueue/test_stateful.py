"""Any order of the queue's calls, on a real Redis, agrees with the model; hypothesis looks for one that does not.

OPSITE_HYPOTHESIS_EXAMPLES=2000 explores beyond the fixed examples of a common run.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test
from redis import Redis

from taskqueue import calls
from tests.taskqueue import queue_clock
from tests.taskqueue.queue_invariants import Invariants
from tests.taskqueue.queue_machine import FUTURE_MS, HOUR_S, OWNERS, PAST_MS, WORKERS
from tests.taskqueue.queue_submitters import Submitters
from tests.taskqueue.queue_workers import Workers

EXPLORE = int(os.environ.get("OPSITE_HYPOTHESIS_EXAMPLES", "0"))
SETTINGS = settings(
    max_examples=EXPLORE or 70,
    stateful_step_count=50,
    deadline=None,
    derandomize=not EXPLORE,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


class QueueMachine(Submitters, Workers, Invariants):
    """Everyone at once, and here the orchestrator and the recorder."""

    @precondition(lambda self: self.model.overdue())
    @rule(
        max_attempts=st.sampled_from((3, 3, 2, 1)),
        max_losses=st.sampled_from((2, 2, 1, 3)),
        lease_s=st.sampled_from((HOUR_S, 0.0, 0.0)),
        blind=st.sampled_from((False, False, False, True)),
    )
    def reap(self, max_attempts: int, max_losses: int, lease_s: float, blind: bool) -> None:
        """Nobody has beaten within a lease of no length; within an hour all have that are there."""
        silent = set(WORKERS) - (self.beating if lease_s else set())
        if blind := blind and self.model.looked and lease_s > 0:
            self.redis.set(f"{self.prefix}looked", 1)
        count = self.queue.reap(max_attempts=max_attempts, max_losses=max_losses, lease_s=lease_s)
        moved = [record.turn for record in self.news()]
        assert count == self.model.reap(
            max_attempts=max_attempts, max_losses=max_losses, silent=silent, blind=blind, moved=moved
        )

    @rule(running=st.dictionaries(st.sampled_from(OWNERS), st.integers(1, 2), max_size=6))
    def limit(self, running: dict[str, int]) -> None:
        """Staff has edited limits."""
        assert self.queue.limit(running) == self.model.limit(running)

    @precondition(lambda self: self.model.at("running"))
    @rule(nth=st.integers(0, 20), max_losses=st.sampled_from((1, 1, 2)))
    def a_worker_fails(self, nth: int, max_losses: int) -> None:
        """It holds something. Here suspects come from: by chance alone, too few turns are lost twice."""
        running = self.model.at("running")
        worker = running[nth % len(running)].worker
        assert self.queue.abandon(worker) == self.model.abandon(worker)
        self.beating.discard(worker)
        self.reap(max_attempts=9, max_losses=max_losses, lease_s=HOUR_S, blind=False)

    @precondition(lambda self: self.model.at("running"))
    @rule(nth=st.integers(0, 20), max_losses=st.sampled_from((1, 2)))
    def staff_kills_a_worker(self, nth: int, max_losses: int) -> None:
        """A worker's name is its own for ever, but here there are few: the next one of that name is not excused."""
        running = self.model.at("running")
        worker = running[nth % len(running)].worker
        assert self.queue.dismiss(worker) == self.model.dismiss(worker)
        assert self.queue.abandon(worker) == self.model.abandon(worker)
        self.beating.discard(worker)
        self.reap(max_attempts=9, max_losses=max_losses, lease_s=HOUR_S, blind=False)
        self.redis.delete(f"{self.prefix}killed:{worker}")
        self.model.killed.discard(worker)

    @precondition(lambda self: self.young())
    @rule(nth=st.integers(0, 20), past_ms=st.sampled_from(PAST_MS))
    def a_deadline_passes(self, nth: int, past_ms: int) -> None:
        """The one thing that no call can bring about without waiting: a running turn grows too old."""
        name = self.young()[nth % len(self.young())]
        self.redis.zadd(f"{self.prefix}deadlines", {name: past_ms})
        self.redis.hset(f"{self.prefix}turn:{name}", "deadline", past_ms)
        self.model.age(name, past_ms)

    def young(self) -> list[str]:
        return [turn.name for turn in self.model.at("running") if turn.deadline_ms in FUTURE_MS]

    @rule(count=st.integers(1, 12))
    def acknowledge(self, count: int) -> None:
        self.queue.acknowledge(self.queue.read_records(count=count), keep_log_s=HOUR_S)
        self.model.acknowledge(count)

    @precondition(lambda self: len(self.model.turns) > 20)
    @rule()
    def everything_ends(self) -> None:
        """All turns are ended and acknowledged: no key is left but what a living pool keeps, and logs that will go."""
        names = [turn.name for turn in self.model.at("waiting", "running")]
        self.cancel(names) if names else None
        for worker in WORKERS:
            self.release(worker, part=1, others=[])
        for task in self.model.between_turns():
            self.close(task.name, failed=False)
        self.acknowledge(10_000)
        logs = {f"log:{name}" for name in self.model.tasks} | {f"turn:{turn.name}" for turn in self.model.at("kept")}
        left = {name for name in self.keys() if not name.startswith("worker")}
        assert left - {"bell", "left", "max_running", "looked", "pace"} == logs | {"service", "record", "tally", "flow"}


@pytest.mark.timeout(900)  # a failure takes its time to shrink
def test_any_order_of_calls_agrees_with_the_model(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "script", queue_clock.script)
    run_state_machine_as_test(lambda: QueueMachine(redis), settings=SETTINGS)
