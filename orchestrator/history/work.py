"""The leader's book of work: it hears each tick's heartbeats, and writes each worker's sums once a minute.

The sums only grow, so what one leader did not write the next one's minute holds. All workers' minutes go in one insert; what has
ended is written at once. Lost is what a worker did after the last heartbeat that a leader heard; of those that end while nobody
leads, up to a minute more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

from orchestrator import records
from orchestrator.history.minutes import MINUTE_S
from orchestrator.models import Worker
from orchestrator.work_rows import WorkMinute
from taskqueue.messages import PoolSignals, Work, WorkerStatus

ID_LENGTH = 36
"""Several simulated workers of one process append a number to the id that it was started with: the busiest one speaks."""


class WorkBook:
    """Of one lead."""

    def __init__(self) -> None:
        self._heard: dict[UUID, tuple[float, Work]] = {}
        self._living: set[UUID] = set()
        self._minute = 0.0

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
                    self._take(worker, status, at=now - (answer.now_ms - status.beat_ms) / 1000)

    def keep(self, *, now: float) -> int:
        """When a minute is over, write what was heard; returns how many rows. What cannot be written is kept for the next time."""
        minute = now // MINUTE_S
        is_over = self._minute and minute != self._minute
        due = {worker: heard for worker, heard in self._heard.items() if is_over or worker not in self._living}
        if due:
            insert(due)
            self._heard = {worker: heard for worker, heard in self._heard.items() if worker not in due}
        self._minute = minute
        return len(due)

    def _take(self, worker: UUID, status: WorkerStatus, *, at: float) -> None:
        known = self._heard.get(worker)
        if known is None or status.work.steps_s >= known[1].steps_s:
            self._heard[worker] = (at, status.work)


def insert(heard: Mapping[UUID, tuple[float, Work]]) -> None:
    """Write them by one statement, but for workers whose rows are gone. A minute that is there already stays as it is."""
    known = set(Worker.objects.filter(pk__in=heard).values_list("pk", flat=True))
    WorkMinute.objects.bulk_create(
        [
            WorkMinute(
                worker_id=worker,
                minute=records.moment(at // MINUTE_S * MINUTE_S),
                at=records.moment(at),
                busy_ms=round(work.steps_s * 1000),
                steps=work.steps,
                sequences=work.sequences,
                prefilled=work.prefilled,
            )
            for worker, (at, work) in heard.items()
            if worker in known
        ],
        ignore_conflicts=True,
    )
