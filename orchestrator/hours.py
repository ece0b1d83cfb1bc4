"""What pools have spent of their day's GPU-hours: from workers' rows, by one query when somebody ended, none else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from orchestrator import records
from orchestrator.models import Pool, Worker
from orchestrator.policies.budget import Span, day_of, hours


class Meter:
    """Counts while one orchestrator leads. What has ended is remembered, what lives is counted anew at each tick."""

    def __init__(self) -> None:
        self._day = -1.0
        self._counted: set[UUID] = set()
        self._live: set[UUID] = set()
        self._ended: dict[UUID, float] = {}

    def spent(self, pools: Iterable[Pool], rows: Sequence[Worker], now: float) -> dict[UUID, float]:
        """GPU-hours of this day by pool, of pools that have a budget. `rows`: all workers that live."""
        bounded = {pool.pk for pool in pools if records.hours_per_day(pool) > 0}
        live = {row.pk for row in rows if row.pool_id in bounded}
        if bounded and (self._day, self._counted) != (day_of(now), bounded):
            self._ended = {}
            self._add(records.ended_since(bounded, day_of(now)), now)
        elif gone := self._live - live:
            self._add(records.ended(gone), now)
        self._day, self._counted, self._live = day_of(now), bounded, live
        spent = {pool: self._ended.get(pool, 0.0) for pool in bounded}
        for row in rows:
            if row.pk in live:
                spent[row.pool_id] += hours([span(row)], now)
        return spent

    def _add(self, rows: Iterable[Worker], now: float) -> None:
        for row in rows:
            self._ended[row.pool_id] = self._ended.get(row.pool_id, 0.0) + hours([span(row)], now)


def of_today(pool: Pool, live: Iterable[Worker], *, now: float) -> float:
    """GPU-hours of this day (UTC) of one pool, for whoever looks: one query. `live`: its workers that have not ended."""
    rows = [*records.ended_since([pool.pk], day_of(now)), *live]
    return hours([span(row) for row in rows], now)


def span(row: Worker) -> Span:
    """A worker's life as it is counted."""
    ended_at = row.stopped_at.timestamp() if row.stopped_at else None
    return Span(row.started_at.timestamp(), ended_at, len(row.gpus) * row.gpu_share if row.gpus else 1.0)
