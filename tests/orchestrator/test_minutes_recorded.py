"""The minutes that a leader records: each with its figures, none where nobody saw, whoever led."""

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


def recorded(pool: Pool, *names: str) -> list[tuple[Any, ...]]:
    """These columns of the pool's minutes, in the order of time, behind how many minutes each began after BEGIN."""
    rows = DemandMinute.objects.filter(pool=pool).order_by("minute").values_list("minute", *names)
    return [((at.timestamp() - BEGIN) / 60, *rest) for at, *rest in rows]


def test_each_minute_has_its_figures(pool: Pool, worker: Worker) -> None:
    Lead(pool, worker).listen(0, 121)
    demand = recorded(pool, "waiting", "most_waiting", "running", "arrived", "unrecorded")
    assert demand == [(0, 59 % 7, 6, 5, 120, 0), (1, 119 % 7, 6, 5, 120, 0)]
    fleet = recorded(pool, "slots", "starting", "ready", "draining", "desired", "tokens_made", "tokens_read")
    assert fleet == [(0, 8, 1, 1, 0, 2, 600, 240), (1, 8, 1, 1, 0, 2, 600, 240)]


def test_the_minutes_go_on_over_a_restart_of_the_leader(pool: Pool, worker: Worker) -> None:
    Lead(pool, worker).listen(0, 130)
    Lead(pool, worker).listen(140, 241, ready=2)
    assert recorded(pool, "arrived", "tokens_made", "ready") == [
        (0, 120, 600, 1),
        (1, 120, 600, 1),
        (2, 120, 600, 2),
        (3, 120, 600, 2),
    ]


def test_of_what_nobody_saw_there_is_no_minute(pool: Pool, worker: Worker) -> None:
    Lead(pool, worker).listen(0, 70)
    Lead(pool, worker).listen(600, 661)
    assert recorded(pool, "arrived") == [(0, 120), (10, 120)]


def test_records_that_are_behind_are_counted(pool: Pool, worker: Worker) -> None:
    lead = Lead(pool, worker)
    lead.listen(0, 60)
    lead.listen(61, 121, unrecorded=3)
    assert recorded(pool, "unrecorded") == [(0, 0), (1, 3)]


def test_old_minutes_of_turns_go_with_those_of_demand(pool: Pool, settings: Any) -> None:
    settings.OPSITE_DEMAND_HISTORY_DAYS = 10
    for days in (9, 11):
        TurnMinute.objects.create(pool=pool, minute=timezone.now() - timedelta(days=days))
    assert retention()["turn_minutes"] == 1
    assert TurnMinute.objects.count() == 1
