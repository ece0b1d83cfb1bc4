"""What a run is worth: worker-hours against the share of requests that waited for too long; who is better on both."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.rehearsal.fleet import Pool
from orchestrator.rehearsal.load import Load
from orchestrator.rehearsal.scene import Outcome, Scaler, Scene

WARM_UP = 2
"""So many cold starts at a load's begin do not count: no policy could have served them."""


@dataclass(frozen=True, slots=True)
class Score:
    """A policy's figures under one load. Waits in s, over the requests that count."""

    family: str
    name: str
    worker_hours: float
    late: float
    p50_s: float
    p95_s: float
    p99_s: float
    starts: int
    peak: int

    def beats(self, other: Score) -> bool:
        """Better on both, or better on one and equal on the other."""
        no_worse = self.worker_hours <= other.worker_hours and self.late <= other.late
        return no_worse and (self.worker_hours < other.worker_hours or self.late < other.late)


def judged(load: Load, scene: Scene, scaler: Scaler, *, family: str, bound_s: float) -> tuple[Score, Outcome]:
    """Run a scaler under a load."""
    outcome = Pool(load, scene, scaler).run()
    warm_up = sum(request.at < WARM_UP * scene.cold_start_s for request in load.requests)
    waits = sorted(outcome.waits_s[warm_up:])
    score = Score(
        family=family,
        name=outcome.scaler,
        worker_hours=outcome.worker_s / 3600,
        late=outcome.late(bound_s, ignore=warm_up),
        p50_s=quantile(waits, 0.5),
        p95_s=quantile(waits, 0.95),
        p99_s=quantile(waits, 0.99),
        starts=outcome.starts,
        peak=outcome.peak,
    )
    return score, outcome


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that `share` of them do not exceed; 0 of none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def frontier(scores: Iterable[Score]) -> list[Score]:
    """Those that none beats, the cheapest first."""
    kept: list[Score] = []
    for score in sorted(scores, key=lambda one: (one.worker_hours, one.late)):
        if not kept or score.late < kept[-1].late:
            kept.append(score)
    return kept
