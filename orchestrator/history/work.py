"""The leader's book of work: it hears each tick's heartbeats, and writes each worker's sums once a minute.

The sums only grow, so what one leader did not write the next one's minute holds. All workers' minutes go in one insert; what has
ended is written at once. While a worker lives, a minute that is not over is not written: the row would stand in the way of the last
word, which is yet to come. Lost is what a worker did after the last heartbeat that a leader heard; of those that end while nobody
leads, up to a minute more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from orchestrator import records
from orchestrator.history.minutes import MINUTE_S
from orchestrator.models import Worker
from orchestrator.work_rows import WorkMinute
from taskqueue.messages import PoolSignals, Work

ID_LENGTH = 36
"""Several simulated workers of one process append a number to the id that it was started with: the busiest one speaks."""


class Heard(NamedTuple):
    """A worker's sums, from its heartbeat at the moment `at` (s)."""

    worker: UUID
    at: float
    work: Work

    @property
    def minute(self) -> int:
        """Minutes of Unix time that were over by then."""
        return int(self.at // MINUTE_S)


class WorkBook:
    """Of one lead."""

    def __init__(self) -> None:
        self._heard: dict[UUID, Heard] = {}
        self._over: dict[UUID, Heard] = {}
        """The last word in a minute of those that have spoken in a later one since."""
        self._living: set[UUID] = set()
        self._minute = 0

    def hear(self, rows: Iterable[Worker], demand: Mapping[str, PoolSignals | Exception], *, now: float) -> None:
        """One tick's heartbeats, of the workers that have a row; the moment of each by this machine's clock (s)."""
        living = {str(row.pk): row.pk for row in rows}
        self._living = set(living.values())
        for answer in demand.values():
            if not isinstance(answer, PoolSignals):
                continue
            for status in answer.workers:
                worker = living.get(status.worker[:ID_LENGTH])
                if worker is not None and status.ready_ms:
                    at = now - (answer.now_ms - status.beat_ms) / 1000
                    self._take(Heard(worker, at, status.work))

    def keep(self, *, now: float) -> int:
        """When a minute is over, write what was heard; returns how many rows. What cannot be written is kept for the next time."""
        minute = int(now // MINUTE_S)
        is_over = self._minute and minute != self._minute
        due = {
            worker: heard
            for worker, heard in self._heard.items()
            if (is_over and heard.minute < minute) or worker not in self._living
        }
        written = [*self._over.values(), *due.values()]
        if written:
            insert(written)
            self._over.clear()
            self._heard = {worker: heard for worker, heard in self._heard.items() if worker not in due}
        self._minute = minute
        return len(written)

    def _take(self, heard: Heard) -> None:
        known = self._heard.get(heard.worker)
        if known is not None and heard.work.steps_s < known.work.steps_s:
            return
        if known is not None and known.minute < heard.minute:
            self._over[heard.worker] = known
        self._heard[heard.worker] = heard


def insert(due: Sequence[Heard]) -> None:
    """Write them by one statement, but for workers whose rows are gone. A minute that is there already stays as it is."""
    known = set(Worker.objects.filter(pk__in={heard.worker for heard in due}).values_list("pk", flat=True))
    WorkMinute.objects.bulk_create(
        [
            WorkMinute(
                worker_id=heard.worker,
                minute=records.moment(heard.minute * MINUTE_S),
                at=records.moment(heard.at),
                busy_ms=round(heard.work.steps_s * 1000),
                steps=heard.work.steps,
                sequences=heard.work.sequences,
                prefilled=heard.work.prefilled,
            )
            for heard in due
            if heard.worker in known
        ],
        ignore_conflicts=True,
    )
