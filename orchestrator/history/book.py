"""The leader's book: it hears each tick's counters and fleets, writes whole minutes, and looks up what is foreseen.

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
from orchestrator.history.gauges import Gauges, Seen, Standing, Strength, Sums
from orchestrator.history.minutes import MINUTE_S, SPREAD_S, Minute, Reading, Tally, after, resumed
from orchestrator.models import Pool
from orchestrator.work_rows import WorkMinute
from taskqueue.messages import PoolSignals

KEPT = 50_000
"""Minutes that wait to be written, at most: the oldest are given up."""

NOTHING_SEEN = Seen()

Row = tuple[UUID, Minute, Seen]
"""A pool's minute: what came in, and what else is known of it."""


class Book:
    """Of one lead: what another leader wrote last is taken up at its begin."""

    def __init__(self) -> None:
        self.curves: Mapping[UUID, Curve] = {}
        self._tallies: dict[UUID, Tally] | None = None
        self._gauges: dict[UUID, Gauges] = {}
        self._heard: dict[UUID, tuple[PoolSignals, Strength | None]] = {}
        self._pools: set[UUID] = set()
        self._due: list[Row] = []
        self._looked_at = 0.0

    def hear(
        self,
        pools: Sequence[Pool],
        demand: Mapping[str, PoolSignals | Exception],
        fleets: Mapping[UUID, Strength] | None = None,
    ) -> None:
        """One tick's counters, and the fleets by the pools' ids, where they are known."""
        self._pools = {pool.pk for pool in pools}
        known = fleets or {}
        self._heard = {
            pool.pk: (answer, known.get(pool.pk))
            for pool in pools
            if isinstance(answer := demand[pool.slug], PoolSignals)
        }

    def keep(self) -> None:
        """What follows from it: minutes that are over are written, and once a minute the forecasts are read."""
        heard, self._heard = self._heard, {}
        if not heard:
            return
        # By the clock of Redis; one moment for all, so that all pools' minutes end together.
        at = max(answer.now_ms for answer, _ in heard.values()) / 1000
        if self._tallies is None:
            self._tallies = last_tallies(since=at - SPREAD_S - MINUTE_S)
            self._gauges = last_gauges(since=at - SPREAD_S)
        for pool, (answer, fleet) in heard.items():
            gauges = self._gauges.setdefault(pool, Gauges())
            gauges.take(at, _standing(answer, fleet), _sums(answer))
            self._tallies[pool], closed = after(self._tallies.get(pool), _reading(answer, at))
            self._due += [(pool, minute, gauges.close(minute.begins_at)) for minute in closed]
        self._tallies = {pool: tally for pool, tally in self._tallies.items() if pool in self._pools}
        self._gauges = {pool: gauges for pool, gauges in self._gauges.items() if pool in self._pools}
        self._write()
        if at - self._looked_at >= MINUTE_S:
            self.curves = curves()
            self._looked_at = at

    def _write(self) -> None:
        self._due = [row for row in self._due if row[0] in self._pools][-KEPT:]
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


def last_gauges(*, since: float) -> dict[UUID, Gauges]:
    """Where the workers' sums stood that were written since that moment, by pool: the tokens go on from there."""
    rows = (
        WorkMinute.objects.filter(minute__gte=records.moment(since - MINUTE_S), at__gte=records.moment(since))
        .order_by("worker_id", "-minute")
        .distinct("worker_id")
        .values_list("worker__pool_id", "worker_id", "at", "sequences", "prefilled")
    )
    sums: dict[UUID, dict[str, Sums]] = {}
    known_at: dict[UUID, float] = {}
    for pool, worker, at, made, read in rows:
        sums.setdefault(pool, {})[str(worker)] = Sums(made, read)
        known_at[pool] = max(known_at.get(pool, 0.0), at.timestamp())
    return {pool: Gauges(known=sums[pool], known_at=known_at[pool]) for pool in sums}


def _reading(answer: PoolSignals, at: float) -> Reading:
    held = answer.waiting + answer.running
    return Reading(at, answer.arrived, answer.arrived_tokens, answer.waiting, held)


def _standing(answer: PoolSignals, fleet: Strength | None) -> Standing | None:
    return None if fleet is None else Standing(answer.waiting, answer.running, answer.unrecorded, fleet)


def _sums(answer: PoolSignals) -> dict[str, Sums]:
    return {one.worker: Sums(one.work.sequences, one.work.prefilled, one.started_ms / 1000) for one in answer.workers}


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


def insert(minutes: Iterable[tuple[UUID, Minute] | Row]) -> None:
    """Write them by one statement. A minute that is there already stays as it is."""
    DemandMinute.objects.bulk_create([_row(*one) for one in minutes], ignore_conflicts=True)


def _row(pool: UUID, one: Minute, seen: Seen = NOTHING_SEEN) -> DemandMinute:
    row = DemandMinute(
        pool_id=pool,
        minute=records.moment(one.begins_at),
        arrived=one.arrived,
        arrived_tokens=one.tokens,
        most_waiting=one.most_waiting,
        arrived_after=one.arrived_after,
        tokens_after=one.tokens_after,
        tokens_made=seen.tokens_made,
        tokens_read=seen.tokens_read,
    )
    if (standing := seen.standing) is not None:
        row.waiting, row.running, row.unrecorded = standing.waiting, standing.running, standing.unrecorded
        fleet = standing.fleet
        row.slots, row.desired = fleet.slots, fleet.desired
        row.starting, row.ready, row.draining = fleet.starting, fleet.ready, fleet.draining
    return row
