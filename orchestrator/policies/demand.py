"""What a scaling decision is made from and what it says: frozen values without clock or database.

Moments are seconds of one clock (the caller's; Unix time in production), so that a stored decision can be made again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestrator.policies.arrivals import Arrivals
from orchestrator.policies.schedule import Floor

Code = Literal["blind", "hold", "up", "from_zero", "down", "to_zero", "bounds", "budget", "manual"]


@dataclass(frozen=True, slots=True)
class Policy:
    """A pool's rule, as stored; `waiting_per_worker` is the waiting work that one worker more is worth.

    `down_cooldown_s`: how long a need holds its workers; None leaves it to the kind.
    `wait_bound_s`: what a task may wait for a slot, kept for the share `wait_share` of them (`target_wait`).
    `floors`: minima by the clock of `time_zone`, and `standby_workers` kept free beyond the running work, under every kind.
    `gpu_hours_per_day`: when these are spent only the minimum is kept (`orchestrator.policies.budget`); 0: no bound.
    """

    kind: str = "queue_depth"
    min_workers: int = 0
    max_workers: int = 2
    waiting_per_worker: int = 8
    up_cooldown_s: float = 5.0
    down_cooldown_s: float | None = None
    idle_to_zero_s: float = 300.0
    wait_bound_s: float = 5.0
    wait_share: float = 0.99
    floors: tuple[Floor, ...] = ()
    time_zone: str = "UTC"
    standby_workers: int = 0
    gpu_hours_per_day: float = 0.0


@dataclass(frozen=True, slots=True)
class Demand:
    """The queue of a pool at the moment `at`. `arrived` counts the turns that ever came in; it may begin anew at 0.

    `work_waiting`: tokens that wait, prompts and expected answers together. What running limits hold back is no part of what waits;
    of the tokens its share by number is left out.
    """

    at: float
    waiting: int
    running: int
    oldest_wait_s: float = 0.0
    arrived: int | None = None
    work_waiting: int | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the pool's own history lets expect: the highest rate until a start from now would be over, in turns/s.

    `error`: how far such forecasts lay off in the past, as a part of what came; `plain_error`: how far those that know no `season`.
    None where that could not be tried.
    """

    made_at: float
    turns_per_s: float
    error: float | None = None
    plain_error: float | None = None
    season: str = ""


@dataclass(frozen=True, slots=True)
class Signals:
    """Fleet and demand of a pool. Demand is None when the queue could not be read: a value of its own, never zero.

    Measured, and None until they were: `turn_s`, what a turn costs a full worker (its share of the worker's time, in s, so a worker
    ends 1 / turn_s turns a second); `start_s`, what a start would take now (a cold one where nothing is warm).
    `spent_h`: GPU-hours of this day (UTC); None: not counted. `forecast`: None where none was made, or none was asked for.
    """

    slots: int
    starting: int = 0
    ready: int = 0
    draining: int = 0
    demand: Demand | None = None
    turn_s: float | None = None
    start_s: float | None = None
    spent_h: float | None = None
    forecast: Forecast | None = None

    @property
    def current(self) -> int:
        """Workers that count: a starting one counts once, from its first moment; a draining one no more."""
        return self.starting + self.ready


@dataclass(frozen=True, slots=True)
class History:
    """What the past adds. All of it may be None after a restart: then nothing shrinks until enough was seen.

    `peaks` are the needs that no later need has reached, each with the last moment it was needed: high first. `arrivals` outlives a
    short break in the signals, since the queue's counter tells what came in meanwhile.
    """

    seen_since: float | None = None
    idle_since: float | None = None
    grown_at: float | None = None
    peaks: tuple[tuple[float, int], ...] = ()
    arrivals: Arrivals | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """How many workers there should be, why in a sentence, and how many the work alone would need."""

    desired: int
    reason: str
    code: Code
    needed: int | None = None


def counted(number: int, noun: str) -> str:
    """`1 worker`, `3 workers`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def seconds(duration_s: float) -> str:
    """A duration for a sentence: `0.5 s`, `90 s`."""
    return f"{duration_s:.1f} s" if duration_s < 10 else f"{duration_s:.0f} s"
