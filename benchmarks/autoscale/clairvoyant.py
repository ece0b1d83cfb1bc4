"""What those could do who know the load: a bound that nobody passes, and a fleet that can really be had.

**The bound** (`bound_hours`) is the best of the duals of `foresight.best`: nobody who keeps the share within the wait's
bound has fewer worker-hours. Each rule of the programme allows what a fleet may do, and more:

* Scalers are asked once a second, so fleets change at whole seconds, as the programme's do. A start costs it `drain_s`
  less than the pool asks, since the last tick of a worker that drains counts whole.
* A worker does at most one second of work in a second: `cost_s` is a request's part of full steps, and no step has more.
* What arrives within a tick may be done in it. Work is rounded down (over the whole run by one unit at most), and moves
  between workers for nothing. Backlog beyond the last level is forgotten.
* At the end of a tick the work that is not done lies with requests that came after the ones judged, in slots, or with late
  ones. The first are taken to be not begun; the slots of all workers to hold the dearest requests of the last two minutes,
  with all of their work to do; of the rest the fewest requests are late that it can be, which are the last of their tick since
  the queue is first come, first served. They had the whole tick in which they came, and the bound after it.
* Requests before the warm-up's end are never late.
* For any price of a late request, the least total less the price of those allowed is a bound (weak duality).

Taken as given: a turn that was handed over is soon in a slot again; nobody starts workers to claim turns and leave them.

**The policy** (`planned`) pays what all pay, in the same simulator. Its plan is the programme's fleet for requests that
cost so much more that the share is kept, found by halving, or a fixed one that keeps it. Each worker is ordered one cold
start early, and kept where it would be wanted again within one. Then the plan's edges are moved, by chance, as long as
the share holds. So it is what can be had, but perhaps not the best.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.autoscale.foresight import TAIL_S, Known, best
from benchmarks.autoscale.score import Score, judged
from orchestrator.rehearsal.load import Load
from orchestrator.rehearsal.scene import Sample, Scene

PRICES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Of a late request, in worker-s. The dual is concave in it: the best is found around the best of these."""

PLAN_PRICES = (0.3, 1.0, 3.0)
PLAN_WORKERS = 20
HALVINGS = 7
DEAREST = 4.0
EDGES_S = (20, 8, 3, 1)


def bound_hours(load: Load, scene: Scene, *, bound_s: float, share: float) -> float:
    """Nobody can do with less; in worker-hours."""
    known = Known(load, scene, bound_s, share, most=scene.max_workers)
    values = {price: best(known, price)[0] for price in PRICES}
    for factor in (1.8, 1.3):
        middle = max(values, key=values.__getitem__)
        values |= {price: best(known, price)[0] for price in (middle / factor, middle * factor)}
    return max(values.values()) / 3600


@dataclass(frozen=True)
class Planned:
    """A fleet that was laid down before: so many workers are to be ready in each second."""

    workers: Sequence[int]
    lead_s: int
    name: str = "clairvoyant"

    def desired(self, sample: Sample) -> int:
        """The most that are wanted until a worker ordered now is ready; the plan's last for what comes after it."""
        now = round(sample.at)
        return max(self.workers[now : now + self.lead_s + 1], default=1)


def planned(load: Load, scene: Scene, *, bound_s: float, share: float, tries: int = 60) -> Score | None:
    """The clairvoyant policy's figures, None if no plan was found that keeps the share. `tries`: of moved edges."""
    search = _Search(load, scene, bound_s, share)
    ticks = math.ceil(load.ends_at) + TAIL_S
    for workers in range(1, scene.max_workers + 1):
        if search.tried([workers] * ticks):
            break
    for price in PLAN_PRICES:
        low, high = 1.0, DEAREST
        for _ in range(HALVINGS):
            middle = math.sqrt(low * high)
            known = Known(
                load, scene, bound_s, share, in_slots=0.0, dearer=middle, most=min(PLAN_WORKERS, scene.max_workers)
            )
            kept = search.tried(best(known, price, plan=True)[1])
            low, high = (low, middle) if kept else (middle, high)
    search.moved(tries)
    return search.score


class _Search:
    """The cheapest plan so far that keeps the share."""

    def __init__(self, load: Load, scene: Scene, bound_s: float, share: float) -> None:
        self._load, self._scene, self._bound_s, self._late = load, scene, bound_s, 1 - share
        self._plan: list[int] = []
        self.score: Score | None = None

    def tried(self, plan: list[int]) -> bool:
        """Whether it keeps the share; the best is kept."""
        scaler = Planned(plan, int(self._scene.cold_start_s))
        score, _ = judged(self._load, self._scene, scaler, family="clairvoyant", bound_s=self._bound_s)
        if score.late > self._late:
            return False
        if self.score is None or score.worker_hours < self.score.worker_hours:
            self.score, self._plan = score, plan
        return True

    def moved(self, tries: int) -> None:
        """A step up comes later, or one down earlier: by less and less where that fails."""
        dice = random.Random(1)
        if self.score is None:
            return
        for number in range(tries):
            plan = list(self._plan)
            edges = [at for at in range(1, len(plan)) if plan[at] != plan[at - 1]]
            if not edges:
                return
            at = dice.choice(edges)
            by = EDGES_S[number * len(EDGES_S) // tries]
            if plan[at] > plan[at - 1]:
                plan[at : at + by] = [min(plan[at - 1], one) for one in plan[at : at + by]]
            else:
                begin = max(0, at - by)
                plan[begin:at] = [min(plan[at], one) for one in plan[begin:at]]
            self.tried(plan)
