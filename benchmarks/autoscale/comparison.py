"""Our policy beside all others under one load: run in several processes, since every run stands for itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from benchmarks.autoscale.fleet import Scene
from benchmarks.autoscale.foreseen import Foreseen, foreseen
from benchmarks.autoscale.loads import named
from benchmarks.autoscale.ours import Ours
from benchmarks.autoscale.rivals import contestants
from benchmarks.autoscale.score import Score, judged
from orchestrator.policies.demand import Policy

OURS = "Opsite"


@dataclass(frozen=True)
class Case:
    """One load on one fleet; `load` is a name that `loads.named` knows."""

    load: str
    scene: Scene
    bound_s: float = 5.0
    share: float = 0.99

    @property
    def policy(self) -> Policy:
        """Ours: the defaults, whatever the load and the cold start."""
        return Policy(
            kind="target_wait",
            max_workers=self.scene.max_workers,
            wait_bound_s=self.bound_s,
            wait_share=self.share,
        )


@dataclass(frozen=True)
class Comparison:
    """Scores of a case. `foreseen`: what those can do who know the load, None if it was not asked for."""

    case: Case
    ours: Score
    others: Sequence[Score] = field(default_factory=list)
    foreseen: Foreseen | None = None

    @property
    def beaten_by(self) -> list[Score]:
        """Who is better on both."""
        return [score for score in self.others if score.beats(self.ours)]


def compared(cases: Sequence[Case], executor: Executor, *, bound: bool) -> Iterator[Comparison]:
    """All cases, in order, each as soon as it is there."""
    bounds = [executor.submit(_foreseen, case) if bound else None for case in cases]
    runs = []
    for case in cases:
        others = [executor.submit(_other, case, place) for place, _ in enumerate(contestants(case.scene))]
        runs.append((executor.submit(_ours, case), others))
    for case, (ours, others), known in zip(cases, runs, bounds, strict=True):
        yield Comparison(
            case,
            ours.result(),
            [other.result() for other in others],
            None if known is None else known.result(),
        )


def _ours(case: Case) -> Score:
    scaler = Ours(case.policy)
    return judged(named(case.load), case.scene, scaler, family=OURS, bound_s=case.bound_s)[0]


def _other(case: Case, place: int) -> Score:
    family, maker = list(contestants(case.scene))[place]
    return judged(named(case.load), case.scene, maker(), family=family, bound_s=case.bound_s)[0]


def _foreseen(case: Case) -> Foreseen:
    return foreseen(named(case.load), case.scene, case.policy, bound_s=case.bound_s, share=case.share)
