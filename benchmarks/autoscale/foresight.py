"""The best fleet for a load that is known, by dynamic programming over seconds: workers and backlog are the state.

A tick of 1 s has a whole number of workers, and work arrives in it: seconds of a full worker (`fleet.cost_s`), in whole `UNIT_S`.
A worker costs 1 s for each tick, and a cold start for being new. What is left at a tick's end is the *backlog*. The
queue is first come, first served, so what is left and not in slots is what came last; of the requests of one tick those are
late that are not in a slot `bound_s` after the tick's end. A late request costs a price. The programme finds the
least of all costs, exactly, and the fleet that has them.

Theory: the price is a Lagrange multiplier of the rule that at most so many requests may be late. For any price, the
least of (worker time + price · late) - price · allowed is no more than the worker time of any fleet that keeps the rule
(weak duality); the best price gives the best bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.autoscale.score import WARM_UP
from orchestrator.rehearsal.load import Load
from orchestrator.rehearsal.scene import Scene, cost_s

UNIT_S = 0.5
SLOT_MEMORY_S = 120.0
"""No turn of these loads is in a slot for longer: it would have to have thousands of tokens."""

TAIL_S = 60
"""After the load's end, in which the rest is served; what is left even then costs its work."""

MOST_UNITS = 800
"""Of backlog: what is more is left out, which makes a bound smaller, never greater."""

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Known:
    """A load as the programme sees it. `in_slots`: of the most that slots can hold, so much is reckoned with (1 for a bound,
    less for a plan); `dearer`: so many times its work a request is taken to cost (1 for a bound).
    """

    load: Load
    scene: Scene
    bound_s: float
    share: float
    in_slots: float = 1.0
    dearer: float = 1.0
    most: int = 32
    arrived: Whole = field(init=False)
    tables: tuple[list[Whole], list[Floats]] = field(init=False)
    allowed: int = field(init=False)

    def __post_init__(self) -> None:
        costs = np.array([cost_s(self.scene, one) for one in self.load.requests]) * self.dearer
        moments = np.array([one.at for one in self.load.requests])
        ticks = math.ceil(self.load.ends_at) + TAIL_S
        sums = np.concatenate([[0.0], np.cumsum(costs)])
        upto = np.searchsorted(moments, np.arange(ticks + 1), side="left")
        units = np.floor(sums[upto] / UNIT_S + 1e-9).astype(np.int64)
        begin_s = WARM_UP * self.scene.cold_start_s
        counted = int((moments >= begin_s).sum())
        object.__setattr__(self, "arrived", np.diff(units))
        object.__setattr__(self, "allowed", math.floor((1 - self.share) * counted + 1e-9))
        object.__setattr__(self, "tables", self._tables(costs, moments, sums, upto, begin_s))

    @property
    def units(self) -> int:
        """Levels of backlog: what may come in a cold start and a minute, and no more than `MOST_UNITS`."""
        span = int(self.scene.cold_start_s) + 60
        total = np.concatenate([[0], np.cumsum(self.arrived)])
        return int(min(MOST_UNITS, 100 + (total[span:] - total[:-span]).max(initial=0)))

    def _tables(
        self,
        costs: NDArray[np.float64],
        moments: NDArray[np.float64],
        sums: NDArray[np.float64],
        upto: Whole,
        begin_s: float,
    ) -> tuple[list[Whole], list[Floats]]:
        """Of each tick: the backlog that is no delay, by workers (in units); and how many are late, by units beyond that."""
        wait = math.ceil(self.bound_s)
        slots = self.scene.slots * np.arange(self.most + 1)
        spared: list[Whole] = []
        late: list[Floats] = []
        for tick in range(len(upto) - 1):
            came = tick - wait
            low, high = (upto[came], upto[came + 1]) if came >= 0 else (0, 0)
            low = max(low, int(np.searchsorted(moments, begin_s)))
            if high <= low:
                spared.append(_NOTHING)
                late.append(_NOBODY)
                continue
            end = upto[tick + 1]
            recent = np.sort(costs[np.searchsorted(moments, tick + 1 - SLOT_MEMORY_S) : end])[::-1]
            held = np.concatenate([[0.0], np.cumsum(recent)])[np.minimum(slots, len(recent))]
            younger = sums[end] - sums[high]
            spared.append(np.ceil((younger + self.in_slots * held + UNIT_S) / UNIT_S).astype(np.int64))
            last_first = np.cumsum(costs[low:high][::-1])
            beyond = np.arange(int(last_first[-1] / UNIT_S) + 2) * UNIT_S
            late.append(np.minimum(np.searchsorted(last_first, beyond) + (beyond > 0), high - low).astype(np.float32))
        return spared, late


_NOTHING: Whole = np.zeros(0, dtype=np.int64)
_NOBODY: Floats = np.zeros(0, dtype=np.float32)


def best(known: Known, price: float, *, plan: bool = False) -> tuple[float, list[int]]:
    """The least of worker time + price · (late - allowed), in worker-s; with `plan`, the workers of each tick that have it."""
    scene, units = known.scene, known.units
    start_s = np.float32(max(0.0, scene.cold_start_s - scene.drain_s))
    workers = np.arange(known.most + 1)
    column = workers.astype(np.float32)[:, None]
    levels = np.arange(units)
    per_tick = round(1 / UNIT_S)
    ahead: Floats = np.broadcast_to(levels.astype(np.float32) * UNIT_S, (len(workers), units)).copy()
    kept: list[Floats] = []
    ticks = len(known.arrived)
    for tick in reversed(range(ticks)):
        spared, late = known.tables[0][tick], known.tables[1][tick]
        after = ahead + column
        if len(late):
            beyond = np.clip(levels[None, :] - spared[:, None], 0, len(late) - 1)
            after += np.float32(price) * late[beyond]
        moved = np.clip(levels[None, :] + known.arrived[tick] - per_tick * workers[:, None], 0, units - 1)
        found = np.take_along_axis(after, moved, axis=1)
        if plan:
            kept.append(found)
        if tick < math.floor(scene.cold_start_s):
            ahead = np.broadcast_to(found[:1], found.shape).copy()
            continue
        fewer = np.minimum.accumulate(found, axis=0)
        more = np.minimum.accumulate((found + start_s * column)[::-1], axis=0)[::-1] - start_s * column
        ahead = np.minimum(fewer, more)
    value = float(ahead[0, 0]) - price * known.allowed
    return value, _followed(known, kept[::-1], float(start_s)) if plan else []


def _followed(known: Known, kept: list[Floats], start_s: float) -> list[int]:
    """The fleet that the programme chose, from the first tick on."""
    chosen: list[int] = []
    current = backlog = 0
    workers = np.arange(known.most + 1)
    for tick, found in enumerate(kept):
        if tick >= math.floor(known.scene.cold_start_s):
            current = int(np.argmin(found[:, backlog] + start_s * np.maximum(0, workers - current)))
        chosen.append(current)
        left = backlog + int(known.arrived[tick]) - round(1 / UNIT_S) * current
        backlog = min(max(0, left), known.units - 1)
    return chosen
