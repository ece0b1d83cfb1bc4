"""The fewest worker-hours that anybody could have spent who knew the load before: a bound from below, by a programme.

Time goes in buckets of `BUCKET_S`. Unknown are the workers that serve in each bucket (whole numbers), how many of them
start before it, the work done by its end, and which requests are let wait. Work is seconds of a full worker (`cost_s`).
The programme asks for the least of

    worker time in the buckets + one cold start of worker time for every start

such that no work is done before it has arrived; no bucket does more than its workers can; all is done in the end; and
at the end of each bucket all that arrived more than the bound before has been claimed, but for the requests that are
let wait: at most 1 - share of those that count. What is claimed is done, or in a slot: so the work that is not done is
at most that of the most expensive requests of late, one for every slot.

It is a bound from below because each rule allows more than the fleet does. A request costs no less than in a full
batch. All slots hold the most expensive requests, with all their work undone. A request that is let wait excuses the
most expensive of its group. Work can be split, and moves between workers for nothing. Before the warm-up is over
anything may wait. Workers end without a drain. And it is the solver's *dual bound* that is reported, not its best plan,
so a run that is cut short says less, never more. One thing is taken as given: fleets change at a bucket's begin; one
that changes at other moments could save up to one bucket for each start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from benchmarks.autoscale.fleet import Scene, cost_s
from benchmarks.autoscale.loads import Load
from benchmarks.autoscale.score import WARM_UP

BUCKET_S = 10.0
SLOT_MEMORY_S = 120.0
"""No turn of these loads is in a slot for longer: it would have to have thousands of tokens."""

GROUPS = 4
"""Requests of a bucket that may be let wait are taken in so many groups of like cost."""

TAIL = 6
"""Buckets after the load's end in which the rest is served."""


@dataclass(frozen=True, slots=True)
class Clairvoyant:
    """`worker_hours`: none can do with less. `plan_hours`: of the best plan found; `proved`: the two are equal."""

    worker_hours: float
    plan_hours: float | None
    proved: bool


class _Rows:
    """Rows of a sparse matrix with their bounds, one after the other."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.columns: list[int] = []
        self.values: list[float] = []
        self.low: list[float] = []
        self.high: list[float] = []

    def add(self, terms: Sequence[tuple[int, float]], *, low: float = -math.inf, high: float = math.inf) -> None:
        row = len(self.low)
        for column, value in terms:
            self.rows.append(row)
            self.columns.append(column)
            self.values.append(value)
        self.low.append(low)
        self.high.append(high)

    def constraint(self, columns: int) -> LinearConstraint:
        matrix = coo_array((self.values, (self.rows, self.columns)), shape=(len(self.low), columns))
        return LinearConstraint(matrix.tocsc(), self.low, self.high)


def clairvoyant(load: Load, scene: Scene, *, bound_s: float, share: float, limit_s: float = 60.0) -> Clairvoyant:
    """The bound for a load; `limit_s`: time that the solver may take."""
    buckets = math.ceil(load.ends_at / BUCKET_S) + TAIL
    costs = [cost_s(scene, request) for request in load.requests]
    moments = [request.at for request in load.requests]
    arrived = _cumulative(moments, costs, [(number + 1) * BUCKET_S for number in range(buckets)])
    due = _cumulative(moments, costs, [(number + 1) * BUCKET_S - bound_s for number in range(buckets)])
    begin_s = WARM_UP * scene.cold_start_s
    groups = _groups(moments, costs, begin_s, buckets)
    free = math.floor((1 - share) * sum(at >= begin_s for at in moments) + 1e-9)

    # One column to a bucket for each of: workers, starts, work done, work let wait. Then the requests let wait, by group.
    workers, starts, done, excused, late = (number * buckets for number in range(5))
    columns = late + len(groups)
    rows = _Rows()
    most = scene.max_workers
    for now in range(buckets):
        before = [(workers + now - 1, -1.0)] if now else []
        rows.add([(starts + now, 1.0), (workers + now, -1.0), *[(c, 1.0) for c, _ in before]], low=0.0)
        earlier = [(done + now - 1, -1.0)] if now else []
        rows.add([(done + now, 1.0), *earlier, (workers + now, -BUCKET_S)], high=0.0)
        rows.add([(done + now, 1.0), *[(c, v) for c, v in earlier]], low=0.0)
        members = [(late + place, -cost) for place, (bucket, _, cost) in enumerate(groups) if bucket == now]
        rows.add([(excused + now, 1.0), *([(excused + now - 1, -1.0)] if now else []), *members], high=0.0)
        if (now + 1) * BUCKET_S - bound_s < begin_s:
            continue
        for count, base, slope in _in_slots(moments, costs, now, scene.slots, most):
            rows.add(
                [(done + now, 1.0), (excused + now, 1.0), (workers + now, slope)], low=due[now] - base + slope * count
            )
    rows.add([(late + place, 1.0) for place in range(len(groups))], high=float(free))

    first = math.floor(scene.cold_start_s / BUCKET_S)
    upper = np.concatenate(
        [
            np.where(np.arange(buckets) < first, 0.0, float(most)),
            np.full(buckets, float(most)),
            np.array(arrived),
            np.full(buckets, arrived[-1]),
            np.array([float(count) for _, count, _ in groups]),
        ]
    )
    lower = np.zeros(columns)
    lower[done + buckets - 1] = arrived[-1]
    price = np.concatenate(
        [np.full(buckets, BUCKET_S), np.full(buckets, scene.cold_start_s), np.zeros(columns - 2 * buckets)]
    )
    whole = np.concatenate([np.ones(buckets), np.zeros(columns - buckets)])
    found = milp(
        price,
        constraints=rows.constraint(columns),
        bounds=Bounds(lower, upper),
        integrality=whole,
        options={"time_limit": limit_s, "mip_rel_gap": 0.002},
    )
    if found.mip_dual_bound is None:
        raise NoBound(f"{load.name}: the solver says: {found.message}")
    plan_hours = None if found.x is None else float(found.fun) / 3600
    return Clairvoyant(float(found.mip_dual_bound) / 3600, plan_hours, proved=found.status == 0)


class NoBound(Exception):
    """The solver found no bound in its time; give it more."""


def _cumulative(moments: Sequence[float], costs: Sequence[float], marks: Sequence[float]) -> list[float]:
    """Work that arrived up to each mark."""
    sums = np.concatenate([[0.0], np.cumsum(costs)])
    return [float(sums[count]) for count in np.searchsorted(moments, marks, side="right")]


def _groups(
    moments: Sequence[float], costs: Sequence[float], begin_s: float, buckets: int
) -> list[tuple[int, int, float]]:
    """Bucket, number of requests, and greatest cost, of each group of requests that count."""
    members: list[list[float]] = [[] for _ in range(buckets)]
    for at, cost in zip(moments, costs, strict=True):
        if at >= begin_s:
            members[int(at // BUCKET_S)].append(cost)
    groups = []
    for bucket, found in enumerate(members):
        found.sort(reverse=True)
        size = math.ceil(len(found) / GROUPS) or 1
        groups += [(bucket, len(found[at : at + size]), found[at]) for at in range(0, len(found), size)]
    return groups


def _in_slots(
    moments: Sequence[float], costs: Sequence[float], now: int, slots: int, most: int
) -> list[tuple[int, float, float]]:
    """The most work that n workers may hold at the end of a bucket, as lines over n: (at n, so much, and so much per worker).

    The sum of the greatest costs is concave in their number, so it is the least of its chords' lines.
    """
    end_s = (now + 1) * BUCKET_S
    low, high = np.searchsorted(moments, [end_s - SLOT_MEMORY_S, end_s])
    recent = np.sort(np.asarray(costs[low:high]))[::-1]
    sums = np.concatenate([[0.0], np.cumsum(recent)])
    held = [float(sums[min(count * slots, len(recent))]) for count in range(most + 1)]
    lines = []
    for count in range(most):
        slope = held[count + 1] - held[count]
        lines.append((count, held[count], slope))
        if slope == 0.0:
            break
    return lines
