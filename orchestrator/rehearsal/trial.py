"""A policy on a pool's recorded demand: what it would have cost, and how long tasks would have waited. Deterministic.

The pool is simulated alone: a start always goes well and takes what starts take, room on the host and other pools are not reckoned
with, and each turn has a slot for as long as turns were measured to. Both policies of a comparison see the very same arrivals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from orchestrator.history.minutes import MINUTE_S, Minute
from orchestrator.policies.budget import day_of
from orchestrator.policies.demand import Policy
from orchestrator.rehearsal.fleet import Pool
from orchestrator.rehearsal.load import Load, load_of
from orchestrator.rehearsal.scaler import Ours
from orchestrator.rehearsal.scene import Outcome, Sample, Scene
from orchestrator.rehearsal.speed import speed_of

MOST_TURNS = 40_000
"""Of more, the last ones are tried: so a trial takes seconds."""
SHORT_S = 6 * 3600.0
"""A span up to here is decided over every second, as production does; a longer one every three."""
POINTS = 240
"""Of the curves."""
STEPS = 24
"""Tokens of a simulated answer: more would cost nothing and say nothing."""
GIVES_UP_S = 3600.0
FORECAST_EVERY_S = 840.0
"""A forecast is good for 900 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is tried. `minutes` are what was recorded from `begins_at` until `ends_at` (Unix s), in the order of time.

    `turn_s` is what a turn costs a full worker, `start_s` what a start takes; at the begin `first_workers` are ready and `spent_h`
    GPU-hours of that day (UTC) spent. `gpus` is what a worker has of them (1 without: then the unit is the worker-hour). A wait
    beyond `bound_s` is too long. `past` are turns/s before the span, by step of Unix time: what a forecast may know.
    """

    policy: Policy
    minutes: tuple[Minute, ...]
    begins_at: float
    ends_at: float
    slots: int
    turn_s: float
    start_s: float
    bound_s: float
    first_workers: int = 0
    gpus: float = 1.0
    spent_h: float = 0.0
    past: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What it would have come to. Waits in s, over all tasks of the span; None: so many were never served.

    `late`: the share that waited for longer than the bound; `gpu_hours`: until all were served.
    """

    gpu_hours: float
    worker_hours: float
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    late: float
    most_workers: int
    starts: int
    turns: int
    unserved: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """Figures, and curves over `at` (Unix s): the most that waited and the most workers that were ready, around each moment."""

    figures: Figures
    at: list[float]
    waiting: list[int]
    ready: list[int]


def last_turns(minutes: Sequence[Minute], *, most: int = MOST_TURNS) -> tuple[Minute, ...]:
    """The last of the minutes that hold so many turns together, the last one at least."""
    left, first = most, len(minutes)
    while first and (left >= minutes[first - 1].arrived or first == len(minutes)):
        first -= 1
        left -= minutes[first].arrived
    return tuple(minutes[first:])


def tried(trial: Trial) -> Tried:
    """Run it."""
    load = _load(trial)
    scene = Scene(
        slots=trial.slots,
        cold_start_s=trial.start_s,
        max_workers=max(trial.policy.max_workers, trial.policy.min_workers, trial.first_workers),
        tick_s=1.0 if trial.ends_at - trial.begins_at <= SHORT_S else 3.0,
        speed=speed_of(turn_s=trial.turn_s, slots=trial.slots, output_tokens=STEPS),
        first_workers=trial.first_workers,
        ends_after_s=0.0,
        gives_up_after_s=GIVES_UP_S,
    )
    outcome = Pool(load, scene, _scaler(trial)).run()
    return _told(trial, outcome)


def _load(trial: Trial) -> Load:
    """From the span's begin on, which may be silent; answers of the same length, since the minute knows only their sum."""
    found, first_at = load_of("recorded", trial.minutes, seed=1, answer_share=0.5)
    off = first_at - trial.begins_at if found.requests else 0.0
    moved = [replace(one, at=one.at + off, prompt_tokens=1, output_tokens=STEPS) for one in found.requests]
    return Load("recorded", moved, trial.ends_at - trial.begins_at)


@dataclass
class _Informed:
    """A policy that knows from the first tick on what production knows: costs and starts were measured, hours are counted."""

    policy: Ours
    trial: Trial
    spent_h: float
    _counted_at: float

    @property
    def name(self) -> str:
        return self.policy.name

    def desired(self, sample: Sample) -> int:
        trial, now = self.trial, self.trial.begins_at + sample.at
        if day_of(now) != day_of(self._counted_at):
            self.spent_h, self._counted_at = 0.0, day_of(now)
        self.spent_h += sample.current * trial.gpus * (now - self._counted_at) / 3600
        self._counted_at = now
        spent_h = self.spent_h if trial.policy.gpu_hours_per_day else None
        return self.policy.desired(replace(sample, turn_s=trial.turn_s, start_s=trial.start_s, spent_h=spent_h))


def _scaler(trial: Trial) -> _Informed:
    policy = Ours(trial.policy, begins_at=trial.begins_at)
    if trial.policy.kind == "forecast":
        from orchestrator.rehearsal.with_forecast import WithForecast  # which loads numpy

        policy = WithForecast(trial.policy, begins_at=trial.begins_at, past=trial.past, every_s=FORECAST_EVERY_S)
    return _Informed(policy, trial, trial.spent_h, trial.begins_at)


def _told(trial: Trial, outcome: Outcome) -> Tried:
    waits = sorted(outcome.waits_s)
    hours = outcome.worker_s / 3600
    timeline = [one for one in outcome.timeline if one.at <= trial.ends_at - trial.begins_at]
    size = max(1, -(-len(timeline) // POINTS))
    parts = [timeline[first : first + size] for first in range(0, len(timeline), size)]
    figures = Figures(
        gpu_hours=hours * trial.gpus,
        worker_hours=hours,
        p50_s=_finite(quantile(waits, 0.5)),
        p95_s=_finite(quantile(waits, 0.95)),
        p99_s=_finite(quantile(waits, 0.99)),
        late=outcome.late(trial.bound_s),
        most_workers=outcome.peak,
        starts=outcome.starts - trial.first_workers,
        turns=len(waits),
        unserved=sum(wait == math.inf for wait in waits),
    )
    return Tried(
        figures=figures,
        at=[trial.begins_at + part[0].at for part in parts],
        waiting=[max(moment.waiting for moment in part) for part in parts],
        ready=[max(moment.ready for moment in part) for part in parts],
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that `share` of them do not exceed; 0 of none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def span_of(minutes: Sequence[Minute]) -> tuple[float, float]:
    """From the first minute's begin until the last one's end."""
    return float(minutes[0].begins_at), float(minutes[-1].begins_at + MINUTE_S)


def _finite(wait_s: float) -> float | None:
    return None if wait_s == math.inf else wait_s
