"""A rehearsal's scene and what it gives: the fleet's physics, what a scaler sees and says, and what came of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.rehearsal.load import Request
from orchestrator.rehearsal.speed import Speed


@dataclass(frozen=True)
class Scene:
    """The fleet's physics: times in s, the same for every scaler.

    Turns take what `speed` says of their tokens, or with `by_holds` a slot for as long as their requests say. The scaler is asked
    every `tick_s`; while nothing happens, or nothing can change, every `calm_tick_s`, if that is set. `ready_in_s`: when
    those workers are ready that are there at the begin. A start is warm while a worker is ready, and `keeps_warm_s` after, if that
    is set. `told_turn_s`: what scalers are told from the first tick on of what a turn costs a full worker, and then of what
    starts take as well; None: only what the run has measured.

    `standby` workers are kept prepared beside the fleet: one that is taken starts in `warm_start_s`, and the next is
    prepared in a cold start. Each costs as a worker does, all the time. `failures_per_hour` is per worker that is
    ready; `start_failure` is the share of starts that end in nothing when they should have been ready. What has not ended
    `gives_up_after_s` past the load's end never does: there may be a policy that serves nobody.
    """

    slots: int = 16
    cold_start_s: float = 60.0
    drain_s: float = 0.5
    max_workers: int = 32
    tick_s: float = 1.0
    calm_tick_s: float | None = None
    speed: Speed = field(default_factory=Speed)
    by_holds: bool = False
    told_turn_s: float | None = None
    standby: int = 0
    warm_start_s: float = 5.0
    keeps_warm_s: float | None = None
    failures_per_hour: float = 0.0
    start_failure: float = 0.0
    lease_s: float = 5.0
    ready_in_s: tuple[float, ...] = ()
    ends_after_s: float = 0.0
    gives_up_after_s: float = math.inf
    seed: int = 1


def cost_s(scene: Scene, request: Request) -> float:
    """What a request costs a full worker, in s of its time: its part of every step that it is in, and its prompt."""
    if scene.by_holds:
        return request.hold_s / scene.slots
    speed = scene.speed
    step_s = speed.step_base_s / scene.slots + speed.step_per_sequence_s
    return request.output_tokens * step_s + request.prompt_tokens / speed.prefill_tokens_per_s


@dataclass(frozen=True, slots=True)
class Sample:
    """What a scaler may see at a tick, which is what the queue and the fleet tell. Counters grow from the load's begin.

    Measured, and None before: `turn_s`, the mean over the turns that ended of what a turn costs a full worker;
    `start_s`, what a start would take now: a warm one where one is prepared, else a cold one. `spent_h`: the day's GPU-hours, where
    somebody counts them.
    """

    at: float
    waiting: int
    running: int
    oldest_wait_s: float
    starting: int
    ready: int
    slots: int
    arrived: int
    ended: int
    waiting_prompt_tokens: int
    arrived_prompt_tokens: int
    ended_output_tokens: int
    busy_workers: int
    turn_s: float | None = None
    start_s: float | None = None
    spent_h: float | None = None

    @property
    def current(self) -> int:
        """Workers that count."""
        return self.starting + self.ready


class Scaler(Protocol):
    """A policy with its memory. Asked at every tick, it answers the number of workers that it wants."""

    @property
    def name(self) -> str: ...

    def desired(self, sample: Sample) -> int: ...


@dataclass(frozen=True, slots=True)
class Moment:
    """One tick of the timeline."""

    at: float
    waiting: int
    running: int
    ready: int
    starting: int
    desired: int


@dataclass
class Outcome:
    """What a run gave: times in s."""

    scaler: str
    waits_s: list[float]
    first_token_s: list[float]
    worker_s: float
    starts: int
    peak: int
    handed_over: int
    busy_s: float
    failed_starts: int = 0
    failed: int = 0
    timeline: list[Moment] = field(default_factory=list)

    def late(self, bound_s: float, *, ignore: int = 0) -> float:
        """Share of the requests that waited for longer, of all but the first `ignore`."""
        counted = self.waits_s[ignore:]
        return sum(wait > bound_s for wait in counted) / len(counted) if counted else 0.0
