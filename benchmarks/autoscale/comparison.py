"""Our policy beside all others under one load: run in several processes, since every run stands for itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from benchmarks.autoscale.foreseen import Foreseen, foreseen
from benchmarks.autoscale.loads import named
from benchmarks.autoscale.rivals import contestants
from benchmarks.autoscale.score import Score, judged
from orchestrator.policies.demand import Policy
from orchestrator.rehearsal.scaler import Ours
from orchestrator.rehearsal.scene import Scaler, Scene

OURS = "Opsite"


@dataclass(frozen=True)
class Case:
    """One load on one fleet; `load` is a name that `loads.named` knows.

    `own`: policies of ours that run beside the one that is judged, by their names; `past` and `begins_at`: see `WithForecast`.
    """

    load: str
    scene: Scene
    bound_s: float = 5.0
    share: float = 0.99
    own: Sequence[tuple[str, Policy]] = ()
    past: Mapping[int, float] = field(default_factory=dict)
    begins_at: float = 0.0

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
    """Scores of a case; `own`: of our other policies. `foreseen`: what those can do who know the load, None if not asked for."""

    case: Case
    ours: Score
    others: Sequence[Score] = field(default_factory=list)
    foreseen: Foreseen | None = None
    own: Sequence[Score] = ()

    @property
    def beaten_by(self) -> list[Score]:
        """Who is better on both."""
        return [score for score in self.others if score.beats(self.ours)]


def compared(cases: Sequence[Case], executor: Executor, *, bound: bool) -> Iterator[Comparison]:
    """All cases, in order, each as soon as it is there."""
    bounds = [executor.submit(_foreseen, case) if bound else None for case in cases]
    runs = []
    for case in cases:
        own = [executor.submit(_own, case, place) for place, _ in enumerate(case.own)]
        others = [executor.submit(_other, case, place) for place, _ in enumerate(contestants(case.scene))]
        runs.append((executor.submit(_ours, case), own, others))
    for case, (ours, own, others), known in zip(cases, runs, bounds, strict=True):
        yield Comparison(
            case,
            ours.result(),
            [other.result() for other in others],
            None if known is None else known.result(),
            [score.result() for score in own],
        )


def _ours(case: Case) -> Score:
    scaler = Ours(case.policy)
    return judged(named(case.load), case.scene, scaler, family=OURS, bound_s=case.bound_s)[0]


def _own(case: Case, place: int) -> Score:
    label, policy = case.own[place]
    scaler = scaler_of(case, policy, label)
    return judged(named(case.load), case.scene, scaler, family=OURS, bound_s=case.bound_s)[0]


def scaler_of(case: Case, policy: Policy, label: str = "") -> Scaler:
    """A policy of ours, with the past that it may know."""
    if policy.kind != "forecast":
        return Ours(policy, label)
    from orchestrator.rehearsal.with_forecast import WithForecast  # which loads numpy

    return WithForecast(policy, label, past=case.past, begins_at=case.begins_at)


def _other(case: Case, place: int) -> Score:
    family, maker = list(contestants(case.scene))[place]
    return judged(named(case.load), case.scene, maker(), family=family, bound_s=case.bound_s)[0]


def _foreseen(case: Case) -> Foreseen:
    return foreseen(named(case.load), case.scene, case.policy, bound_s=case.bound_s, share=case.share)
