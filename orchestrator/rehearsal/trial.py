"""A policy on a pool's recorded demand: what it would have cost, and how long tasks would have waited. Deterministic.

The pool is simulated alone: a start always goes well and takes what starts take, room on the host, running limits and other pools
are not reckoned with, and each turn has a slot for as long as it had one. Both policies of a comparison see the very same arrivals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from orchestrator.policies.budget import day_of
from orchestrator.policies.demand import Policy
from orchestrator.rehearsal.figures import Tried, figures, grid, highest
from orchestrator.rehearsal.fleet import Pool
from orchestrator.rehearsal.load import Came, Load, Request
from orchestrator.rehearsal.scaler import Ours
from orchestrator.rehearsal.scene import Outcome, Sample, Scaler, Scene

TICK_S = 1.0
"""As in production."""
CALM_TICK_S = 5.0
"""While nothing comes, ends or starts: what time alone decides may come so much later."""
GIVES_UP_S = 3600.0
FORECAST_EVERY_S = 840.0
"""A forecast is good for 900 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """What a start takes (s): a cold one, and one while a worker is ready or was within `keeps_warm_s`."""

    cold_s: float
    warm_s: float
    keeps_warm_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is tried. `turns` came from `begins_at` until `ends_at` (Unix s), in the order of time.

    `turn_s` is what the policy is told that a turn costs a full worker. At the begin there are workers that are ready in
    `ready_in_s`, and `spent_h` GPU-hours of that day (UTC) are spent. `gpus` is what a worker has of them (1 without: then the unit
    is the worker-hour). A wait beyond `bound_s` is too long. `past` are turns/s before the span, by step of Unix time: what a
    forecast may know.
    """

    policy: Policy
    turns: tuple[Came, ...]
    begins_at: float
    ends_at: float
    slots: int
    turn_s: float
    starts: Starts
    bound_s: float
    ready_in_s: tuple[float, ...] = ()
    gpus: float = 1.0
    spent_h: float = 0.0
    past: Mapping[int, float] = field(default_factory=dict)


def tried(trial: Trial) -> Tried:
    """Run it."""
    scene = Scene(
        slots=trial.slots,
        cold_start_s=trial.starts.cold_s,
        warm_start_s=trial.starts.warm_s,
        keeps_warm_s=trial.starts.keeps_warm_s,
        max_workers=max(trial.policy.max_workers, trial.policy.min_workers, len(trial.ready_in_s)),
        tick_s=TICK_S,
        calm_tick_s=CALM_TICK_S,
        by_holds=True,
        told_turn_s=trial.turn_s,
        ready_in_s=trial.ready_in_s,
        gives_up_after_s=GIVES_UP_S,
    )
    return _told(trial, Pool(_load(trial), scene, _scaler(trial)).run())


def _load(trial: Trial) -> Load:
    requests = [
        Request(came.at - trial.begins_at, prompt_tokens=1, output_tokens=1, hold_s=came.hold_s) for came in trial.turns
    ]
    return Load("recorded", requests, trial.ends_at - trial.begins_at)


@dataclass
class _Metered:
    """A policy that is told what is spent of the day's GPU-hours."""

    policy: Ours
    trial: Trial
    spent_h: float
    _counted_at: float

    @property
    def name(self) -> str:
        return self.policy.name

    def desired(self, sample: Sample) -> int:
        now = self.trial.begins_at + sample.at
        if day_of(now) != day_of(self._counted_at):
            self.spent_h, self._counted_at = 0.0, day_of(now)
        self.spent_h += sample.current * self.trial.gpus * (now - self._counted_at) / 3600
        self._counted_at = now
        return self.policy.desired(replace(sample, spent_h=self.spent_h))


def _scaler(trial: Trial) -> Scaler:
    policy = Ours(trial.policy, begins_at=trial.begins_at)
    if trial.policy.kind == "forecast":
        from orchestrator.rehearsal.with_forecast import WithForecast  # which loads numpy

        policy = WithForecast(trial.policy, begins_at=trial.begins_at, past=trial.past, every_s=FORECAST_EVERY_S)
    return _Metered(policy, trial, trial.spent_h, trial.begins_at) if trial.policy.gpu_hours_per_day else policy


def _told(trial: Trial, outcome: Outcome) -> Tried:
    hours = outcome.worker_s / 3600
    at = grid(trial.begins_at, trial.ends_at)
    within = [one for one in outcome.timeline if one.at < trial.ends_at - trial.begins_at]
    return Tried(
        figures=figures(
            outcome.waits_s,
            bound_s=trial.bound_s,
            worker_hours=hours,
            gpu_hours=hours * trial.gpus,
            most_workers=outcome.peak,
            starts=outcome.starts - len(trial.ready_in_s),
        ),
        at=at,
        waiting=highest(((trial.begins_at + one.at, one.waiting) for one in within), at),
        ready=highest(((trial.begins_at + one.at, one.ready) for one in within), at),
    )
