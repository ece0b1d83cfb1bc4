"""The leader's book of demand: it hears each tick's counters, writes whole minutes, and looks up what is foreseen.

All pools' minutes go in one insert, once a minute; nothing is asked of Redis for it. Minutes that cannot be written are kept, and
written with the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from orchestrator import records
from orchestrator.demand_rows import DemandMinute
from orchestrator.history.curve import Curve
from orchestrator.history.forecasts import curves
from orchestrator.history.minutes import MINUTE_S, SPREAD_S, Minute, Reading, Tally, after, resumed
from orchestrator.models import Pool
from taskqueue.messages import PoolSignals

KEPT = 50_000
"""Minutes that wait to be written, at most: the oldest are given up."""


class Book:
    """Of one lead: what another leader wrote last is taken up at its begin."""

    def __init__(self) -> None:
        self.curves: Mapping[UUID, Curve] = {}
        self._tallies: dict[UUID, Tally] | None = None
        self._heard: dict[UUID, Reading] = {}
        self._pools: set[UUID] = set()
        self._due: list[tuple[UUID, Minute]] = []
        self._looked_at = 0.0

    def hear(self, pools: Sequence[Pool], demand: Mapping[str, PoolSignals | Exception]) -> None:
        """One tick's counters, by the clock of Redis; one moment for all, so that all pools' minutes end together."""
        self._pools = {pool.pk for pool in pools}
        answers = {pool.pk: answer for pool in pools if isinstance(answer := demand[pool.slug], PoolSignals)}
        if not answers:
            return
        at = max(answer.now_ms for answer in answers.values()) / 1000
        self._heard = {
            pool: Reading(at, one.arrived, one.arrived_tokens, one.waiting, one.waiting + one.running)
            for pool, one in answers.items()
        }

    def keep(self) -> None:
        """What follows from it: minutes that are over are written, and once a minute the forecasts are read."""
        heard, self._heard = self._heard, {}
        if not heard:
            return
        at = max(reading.at for reading in heard.values())
        if self._tallies is None:
            self._tallies = last_tallies(since=at - SPREAD_S - MINUTE_S)
        for pool, reading in heard.items():
            self._tallies[pool], closed = after(self._tallies.get(pool), reading)
            self._due += [(pool, minute) for minute in closed]
        self._tallies = {pool: tally for pool, tally in self._tallies.items() if pool in self._pools}
        self._write()
        if at - self._looked_at >= MINUTE_S:
            self.curves = curves()
            self._looked_at = at

    def _write(self) -> None:
        self._due = [(pool, minute) for pool, minute in self._due if pool in self._pools][-KEPT:]
        if self._due:
            insert(self._due)
        self._due = []


def last_tallies(*, since: float) -> dict[UUID, Tally]:
    """Where each pool's record stops, of those that were recorded since that moment."""
    rows = (
        DemandMinute.objects.filter(minute__gte=records.moment(since))
        .order_by("pool_id", "-minute")
        .distinct("pool_id")
    )
    return {row.pool_id: resumed(minute_of(row)) for row in rows}


def minute_of(row: DemandMinute) -> Minute:
    """A row as a value."""
    return Minute(
        begins_at=int(row.minute.timestamp()),
        arrived=row.arrived,
        tokens=row.arrived_tokens,
        most_waiting=row.most_waiting,
        arrived_after=row.arrived_after,
        tokens_after=row.tokens_after,
    )


def insert(minutes: Iterable[tuple[UUID, Minute]]) -> None:
    """Write them by one statement. A minute that is there already stays as it is."""
    rows = [
        DemandMinute(
            pool_id=pool,
            minute=records.moment(one.begins_at),
            arrived=one.arrived,
            arrived_tokens=one.tokens,
            most_waiting=one.most_waiting,
            arrived_after=one.arrived_after,
            tokens_after=one.tokens_after,
        )
        for pool, one in minutes
    ]
    DemandMinute.objects.bulk_create(rows, ignore_conflicts=True)
