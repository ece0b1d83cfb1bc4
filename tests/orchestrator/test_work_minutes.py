"""What workers did, minute by minute: written by one statement, taken up by the next leader, kept where it cannot be written."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from opsite.jobs import retention
from orchestrator import records
from orchestrator.history import work as work_module
from orchestrator.history.work import WorkBook
from orchestrator.models import Pool, Worker
from orchestrator.revisions import note_edit
from orchestrator.work_rows import WorkMinute
from taskqueue.failures import QueueUnavailable
from taskqueue.messages import PoolSignals, Work, WorkerStatus

BEGIN = 1_800_000_000 // 60 * 60
pytestmark = pytest.mark.django_db


@pytest.fixture
def pool() -> Pool:
    made = Pool.objects.create(slug="p", name="p", engine=Pool.Engine.SIMULATED)
    note_edit(made.pk, now=records.moment(BEGIN))
    return made


def worker(pool: Pool) -> Worker:
    return Worker.objects.create(
        pool=pool,
        revision=pool.revisions.get(),
        runtime="process",
        slots=1,
        state="ready",
        started_at=records.moment(BEGIN),
    )


def status(name: object, at: float, busy_s: float, *, ready: bool = True) -> WorkerStatus:
    """A heartbeat of `at` seconds after the begin, by a clock of Redis' that is 100 s ahead."""
    return WorkerStatus(
        worker=str(name), phase="ready", engine="simulated", model="", slots=1, ready_ms=int(ready),
        beat_ms=round(1000 * (BEGIN + at + 100)), work=Work(steps=round(busy_s * 10), steps_s=busy_s, sequences=7, prefilled=3),
    )  # fmt: skip


def heartbeats(at: float, *statuses: WorkerStatus) -> dict[str, PoolSignals | Exception]:
    fields: dict[str, Any] = {"waiting": 0, "held_back": 0, "running": 0, "oldest_wait_s": 0.0}
    answer = PoolSignals(now_ms=round(1000 * (BEGIN + at + 100)), workers=statuses, **fields)
    return {"p": answer, "lost": QueueUnavailable("no answer")}


def tick(book: WorkBook, rows: list[Worker], at: float, *statuses: WorkerStatus) -> int:
    book.hear(rows, heartbeats(at, *statuses), now=BEGIN + at)
    return book.keep(now=BEGIN + at)


def written() -> list[tuple[int, float, int]]:
    """Minute since the begin, the heartbeat's second, and what was done."""
    return [
        (round(row.minute.timestamp() - BEGIN) // 60, row.at.timestamp() - BEGIN, row.busy_ms)
        for row in WorkMinute.objects.order_by("minute")
    ]


def test_all_workers_minutes_are_one_statement(pool: Pool) -> None:
    rows, book = [worker(pool) for _ in range(30)], WorkBook()
    with CaptureQueriesContext(connection) as quiet:
        for at in range(1, 60):
            assert tick(book, rows, at, *(status(row.pk, at - 0.5, at / 2) for row in rows)) == 0
    assert len(quiet) == 0
    with CaptureQueriesContext(connection) as seen:
        assert tick(book, rows, 60) == 30
    assert len([query for query in seen if query["sql"].startswith("INSERT")]) == 1
    assert len(seen) <= 4
    assert written() == [(0, 58.5, 29500)] * 30
    row = WorkMinute.objects.first()
    assert row is not None
    assert (row.steps, row.sequences, row.prefilled) == (295, 7, 3)


def test_the_sums_go_on_whoever_leads(pool: Pool) -> None:
    one = worker(pool)
    book = WorkBook()
    tick(book, [one], 10, status(one.pk, 10, 5))
    tick(book, [one], 61, status(one.pk, 61, 40))
    later = WorkBook()  # the first one died; nobody led for minutes
    tick(later, [one], 400, status(one.pk, 400, 300))
    tick(later, [one], 421, status(one.pk, 421, 310))
    assert written() == [(0, 10, 5000), (6, 400, 300000)]


def test_a_minute_that_is_not_over_waits_for_its_last_word(pool: Pool) -> None:
    one, book = worker(pool), WorkBook()
    tick(book, [one], 59, status(one.pk, 58.5, 5))
    assert tick(book, [one], 61, status(one.pk, 60.5, 6)) == 1
    tick(book, [one], 63, status(one.pk, 63, 9))
    assert written() == [(0, 58.5, 5000)]
    assert tick(book, [], 64) == 1
    assert written() == [(0, 58.5, 5000), (1, 63, 9000)]


def test_who_ends_as_a_minute_does_has_both_of_its_last_words_written(pool: Pool) -> None:
    one, book = worker(pool), WorkBook()
    tick(book, [one], 59, status(one.pk, 58.5, 5))
    book.hear([one], heartbeats(61, status(one.pk, 60.5, 6)), now=BEGIN + 61)
    assert tick(book, [], 62) == 2
    assert written() == [(0, 58.5, 5000), (1, 60.5, 6000)]


def test_two_who_write_the_same_minute_leave_the_first_word(pool: Pool) -> None:
    one = worker(pool)
    for busy_s in (5, 6):
        book = WorkBook()
        tick(book, [one], 10, status(one.pk, 10, busy_s))
        tick(book, [one], 60)
    assert written() == [(0, 10, 5000)]


def test_what_has_ended_is_written_at_once(pool: Pool) -> None:
    one, other = worker(pool), worker(pool)
    book = WorkBook()
    tick(book, [one, other], 10, status(one.pk, 10, 5), status(other.pk, 10, 6))
    assert tick(book, [other], 11, status(other.pk, 11, 7)) == 1
    assert written() == [(0, 10, 5000)]


def test_who_has_no_row_or_is_not_ready_is_left_out(pool: Pool) -> None:
    one, starts = worker(pool), worker(pool)
    book = WorkBook()
    statuses = [
        status(one.pk, 10, 5),
        status(uuid.uuid4(), 10, 9),
        status("by-hand", 10, 9),
        status(starts.pk, 10, 0, ready=False),
    ]
    tick(book, [one, starts], 10, *statuses)
    assert tick(book, [one, starts], 60) == 1
    assert [row.worker_id for row in WorkMinute.objects.all()] == [one.pk]


def test_of_several_in_one_process_the_busiest_speaks(pool: Pool) -> None:
    one, book = worker(pool), WorkBook()
    tick(book, [one], 10, status(f"{one.pk}-1", 10, 5), status(f"{one.pk}-2", 10, 8), status(f"{one.pk}-3", 10, 2))
    tick(book, [one], 60)
    assert written() == [(0, 10, 8000)]


def test_what_cannot_be_written_is_written_with_the_next(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    one, gone = worker(pool), worker(pool)
    book = WorkBook()
    tick(book, [one, gone], 10, status(one.pk, 10, 5), status(gone.pk, 10, 5))

    def away(heard: object) -> None:
        raise DatabaseError

    with monkeypatch.context() as patched:
        patched.setattr(work_module, "insert", away)
        with pytest.raises(DatabaseError):
            tick(book, [one, gone], 60)
    gone.delete()
    tick(book, [one], 61)
    assert written() == [(0, 10, 5000)]


def test_old_minutes_are_forgotten(pool: Pool) -> None:
    one, now = worker(pool), timezone.now()
    for days in (2, 4):
        at = now - timedelta(days=days)
        WorkMinute.objects.create(worker=one, minute=at, at=at, busy_ms=days, steps=0, sequences=0, prefilled=0)
    Worker.objects.update(started_at=now)
    assert retention()["work_minutes"] == 1
    assert WorkMinute.objects.get().busy_ms == 2
