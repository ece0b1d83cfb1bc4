"""What is reached beside what could be: the clairvoyant's bound and policy, and ours with the setting that just keeps the share."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.autoscale.clairvoyant import bound_hours, planned
from benchmarks.autoscale.score import Score, judged
from orchestrator.policies.demand import Policy
from orchestrator.rehearsal.load import Load
from orchestrator.rehearsal.scaler import Ours
from orchestrator.rehearsal.scene import Scene

WAIT_BOUNDS_S = (0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0)
"""Of our policy, tried in turn; whatever it is told, it is judged by the case's own."""


@dataclass(frozen=True)
class Foreseen:
    """Worker-hours of the bound; the clairvoyant policy's score, and ours at the cheapest `setting_s` of its wait bound
    that keeps the share: None if none was found.
    """

    bound_hours: float
    planned: Score | None = None
    just: Score | None = None
    setting_s: float | None = None


def foreseen(load: Load, scene: Scene, policy: Policy, *, bound_s: float, share: float) -> Foreseen:
    """All of it for one load."""
    bound = bound_hours(load, scene, bound_s=bound_s, share=share)
    plan = planned(load, scene, bound_s=bound_s, share=share)
    found: list[tuple[float, float, Score]] = []
    for setting_s in WAIT_BOUNDS_S:
        scaler = Ours(replace(policy, wait_bound_s=setting_s))
        score, _ = judged(load, scene, scaler, family="Opsite", bound_s=bound_s)
        if score.late <= 1 - share:
            found.append((score.worker_hours, setting_s, score))
    if not found:
        return Foreseen(bound, plan)
    _, setting_s, just = min(found, key=lambda one: one[:2])
    return Foreseen(bound, plan, just, setting_s)
