"""The recorded minutes as series: each step with its figures, null where nobody saw, whoever led."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from opsite.jobs import retention
from orchestrator import records
from orchestrator.demand_rows import DemandMinute
from orchestrator.history.book import Book
from orchestrator.history.gauges import Strength
from orchestrator.history.series import POINTS_AT_MOST, pool_series, step_for
from orchestrator.history.work import WorkBook
from orchestrator.models import Pool, Worker
from orchestrator.revisions import note_edit
from orchestrator.turn_rows import TurnMinute
from taskqueue.messages import PoolSignals, Work, WorkerStatus

pytestmark = pytest.mark.django_db
BEGIN = 1_800_000_000 // 3600 * 3600
CLOCK_S = 100
"""Redis' clock is so far ahead of this machine's."""


@pytest.fixture
def pool() -> Pool:
    made = Pool.objects.create(slug="p", name="p", engine=Pool.Engine.SIMULATED)
    note_edit(made.pk, now=records.moment(BEGIN))
    return made


@pytest.fixture
def worker(pool: Pool) -> Worker:
    return Worker.objects.create(
        pool=pool, revision=pool.revisions.get(), runtime="process", slots=8, state="ready", started_at=records.moment(BEGIN)
    )  # fmt: skip


class Lead:
    """The books of one leader, that hears a worker that makes 10 tokens and reads 4 each second since the begin."""

    def __init__(self, pool: Pool, worker: Worker) -> None:
        self.pool, self.worker = pool, worker
        self.book, self.work = Book(), WorkBook()

    def listen(self, begin: int, end: int, *, ready: int = 1, desired: int | None = 2, unrecorded: int = 0) -> None:
        """A tick each second, from `begin` to `end` seconds after BEGIN."""
        for at in range(begin, end + 1):
            done = Work(steps=at, steps_s=at / 2, sequences=10 * at, prefilled=4 * at)
            now_ms = 1000 * (BEGIN + at)
            status = WorkerStatus(
                worker=str(self.worker.pk), phase="ready", engine="simulated", model="", slots=8, work=done,
                started_ms=1000 * BEGIN, ready_ms=1, beat_ms=now_ms,
            )  # fmt: skip
            fields: dict[str, Any] = {"waiting": at % 7, "held_back": 0, "running": 5, "oldest_wait_s": 0.0}
            answer = PoolSignals(now_ms=now_ms, arrived=2 * at, workers=(status,), unrecorded=unrecorded, **fields)
            fleet = Strength(slots=8 * ready, starting=1, ready=ready, draining=0, desired=desired)
            self.book.hear([self.pool], {"p": answer}, {self.pool.pk: fleet})
            self.work.hear([self.worker], {"p": answer}, now=BEGIN + at)
            self.book.keep()
            self.work.keep(now=BEGIN + at)


def test_each_minute_has_its_figures(pool: Pool, worker: Worker) -> None:
    Lead(pool, worker).listen(0, 121)
    found = pool_series(pool, BEGIN, BEGIN + 120)
    assert found["times"] == [BEGIN, BEGIN + 60]
    assert {name: found[name] for name in ("waiting", "most_waiting", "running", "arrived", "unrecorded")} == {
        "waiting": [59 % 7, 119 % 7],
        "most_waiting": [6, 6],
        "running": [5, 5],
        "arrived": [120, 120],
        "unrecorded": [0, 0],
    }
    assert {name: found[name][0] for name in ("slots", "starting", "ready", "draining", "desired")} == {
        "slots": 8, "starting": 1, "ready": 1, "draining": 0, "desired": 2,
    }  # fmt: skip
    assert (found["tokens_per_s"], found["prompt_tokens_per_s"]) == ([10, 10], [4, 4])
    assert {len(values) for values in found.values()} == {2}


def test_the_series_goes_on_over_a_restart_of_the_leader(pool: Pool, worker: Worker) -> None:
    Lead(pool, worker).listen(0, 130)
    Lead(pool, worker).listen(140, 241, ready=2)
    found = pool_series(pool, BEGIN, BEGIN + 240)
    assert found["arrived"] == [120] * 4
    assert found["tokens_per_s"] == [10] * 4
    assert found["ready"] == [1, 1, 2, 2]


def test_what_nobody_saw_is_null_in_every_list(pool: Pool, worker: Worker) -> None:
    Lead(pool, worker).listen(0, 70)
    Lead(pool, worker).listen(600, 661)
    found = pool_series(pool, BEGIN, BEGIN + 660)
    assert found["arrived"] == [120, *[None] * 9, 120]
    for name, values in found.items():
        if name != "times":
            assert values[1:10] == [None] * 9, name


def test_a_quiet_minute_ended_no_turn_unless_its_records_are_behind(pool: Pool, worker: Worker) -> None:
    lead = Lead(pool, worker)
    lead.listen(0, 60)
    lead.listen(61, 121, unrecorded=3)
    found = pool_series(pool, BEGIN, BEGIN + 180)
    for name in ("claimed", "ended", "failed", "expired", "completion_tokens"):
        assert found[name] == [0, None, None], name
    assert found["wait_p95_s"] == [None] * 3


def test_longer_steps_add_counts_and_histograms_and_take_the_mean_of_what_stood(pool: Pool) -> None:
    for minute, (ready, waiting, tokens) in enumerate(((1, 4, 600), (3, 9, None), (2, 5, 1800))):
        DemandMinute.objects.create(
            pool=pool, minute=records.moment(BEGIN + 60 * minute), arrived=5, arrived_tokens=0, most_waiting=waiting,
            arrived_after=0, tokens_after=0, ready=ready, tokens_made=tokens,
        )  # fmt: skip
    counts = {"claimed": 10, "ended": 4, "failed": 1}
    for minute, waits in enumerate(([10], [0] * 40 + [10])):
        at = records.moment(BEGIN + 60 * minute)
        TurnMinute.objects.create(pool=pool, minute=at, waits=waits, longest_wait_ms=9 + 9000 * minute, **counts)
    found = pool_series(pool, BEGIN, BEGIN + 600, 300)
    assert (found["ready"], found["most_waiting"], found["arrived"]) == ([2, None], [9, None], [15, None])
    assert found["tokens_per_s"] == [20, None]
    assert (found["claimed"], found["ended"], found["failed"]) == ([20, None], [8, None], [2, None])
    assert found["wait_p50_s"] == [0.01, None]
    assert 8.6 < found["wait_p95_s"][0] <= found["wait_max_s"][0] == 9.009


def test_a_series_is_three_queries_and_bounded(pool: Pool, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(3):
        pool_series(pool.pk, BEGIN, BEGIN + 60 * POINTS_AT_MOST)
    with pytest.raises(ValueError, match="1501 points are asked for, 1500 are allowed"):
        pool_series(pool, BEGIN, BEGIN + 60 * POINTS_AT_MOST + 1)
    for step in (0, 30, 90):
        with pytest.raises(ValueError, match="multiple of 60"):
            pool_series(pool, BEGIN, BEGIN + 600, step)


def test_a_span_that_does_not_begin_on_a_step_has_the_step_that_holds_it(pool: Pool) -> None:
    assert pool_series(pool, BEGIN + 10, BEGIN + 301, 300)["times"] == [BEGIN, BEGIN + 300]
    assert pool_series(pool, BEGIN, BEGIN)["times"] == []


@pytest.mark.parametrize(("hours", "step"), [(1, 60), (8, 60), (24, 300), (24 * 7, 3600), (24 * 28, 21_600)])
def test_a_step_fits_its_span(hours: int, step: int) -> None:
    assert step_for(3600.0 * hours) == step


def test_old_minutes_of_turns_go_with_those_of_demand(pool: Pool, settings: Any) -> None:
    settings.OPSITE_DEMAND_HISTORY_DAYS = 10
    for days in (9, 11):
        TurnMinute.objects.create(pool=pool, minute=timezone.now() - timedelta(days=days))
    assert retention()["turn_minutes"] == 1
    assert TurnMinute.objects.count() == 1
