"""A pool's past as it is recorded: what came, for a trial of a policy, and what happened, to hold such a trial against. Pure.

Turns that are still stored are known by the moment at which each came, was claimed and ended. Of minutes whose turns are gone it
is known how many came.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from orchestrator.history.minutes import MINUTE_S, Minute
from orchestrator.rehearsal.figures import Figures, Tried, figures, grid, highest
from orchestrator.rehearsal.load import Came

MOST_TURNS = 40_000
"""Of more, the last ones are tried: so a trial takes seconds."""


class Passed(NamedTuple):
    """A turn as it went, in Unix seconds; None where that has not been.

    `given_up`: its client took it back before a worker did. Nobody knows how long it would have waited, so it counts for nothing.
    """

    queued_at: float
    claimed_at: float | None
    finished_at: float | None
    given_up: bool = False


@dataclass(frozen=True, slots=True)
class Lived:
    """A worker's life, in Unix seconds, with its GPUs (1 without); None where that has not been."""

    started_at: float
    ready_at: float | None
    draining_at: float | None
    stopped_at: float | None
    gpus: float

    def until(self, now: float) -> float:
        """When it ended, now if it has not."""
        return now if self.stopped_at is None else min(now, self.stopped_at)

    def seconds(self, since: float, until: float) -> float:
        """How much of it lies within that span."""
        return max(0.0, self.until(until) - max(since, self.started_at))


def last_turns(minutes: Sequence[Minute], *, most: int = MOST_TURNS) -> tuple[Minute, ...]:
    """The last of the minutes that hold so many turns together, the last one at least."""
    left, first = most, len(minutes)
    while first and (left >= minutes[first - 1].arrived or first == len(minutes)):
        first -= 1
        left -= minutes[first].arrived
    return tuple(minutes[first:])


def span_of(minutes: Sequence[Minute]) -> tuple[float, float]:
    """From the first minute's begin until the last one's end."""
    return float(minutes[0].begins_at), float(minutes[-1].begins_at + MINUTE_S)


def came(minutes: Iterable[Minute], passed: Iterable[Passed], *, hold_s: float, seed: int = 1) -> tuple[Came, ...]:
    """What came, in the order of time, each with how long it has a slot.

    A turn that is stored comes when it came, and has a slot for as long as it had one. In a minute of which no turn is stored as
    many come as were counted, at moments drawn by chance (a Poisson process of which it is known how many came), each for `hold_s`.
    """
    stored = list(passed)
    turns = [Came(turn.queued_at, _held_s(turn, hold_s)) for turn in stored if not turn.given_up]
    known = {turn.queued_at // MINUTE_S for turn in stored}
    dice = random.Random(seed)
    for minute in minutes:
        if minute.begins_at // MINUTE_S not in known:
            turns += [Came(minute.begins_at + dice.random() * MINUTE_S, hold_s) for _ in range(minute.arrived)]
    return tuple(sorted(turns))


def happened(
    passed: Sequence[Passed],
    lives: Sequence[Lived],
    *,
    since: float,
    until: float,
    now: float,
    bound_s: float,
) -> Tried:
    """What the span came to as it was. Who still waits has waited until now at least; who ended unclaimed was never served."""
    at = grid(since, until)
    passed = [turn for turn in passed if not turn.given_up]
    return Tried(
        figures=_figures(passed, lives, since=since, until=until, now=now, bound_s=bound_s),
        at=at,
        waiting=highest(_counted((turn.queued_at, _left_at(turn, now)) for turn in passed), at),
        ready=highest(_counted(_service(life, until) for life in lives if life.ready_at is not None), at),
    )


def _figures(
    passed: Sequence[Passed], lives: Sequence[Lived], *, since: float, until: float, now: float, bound_s: float
) -> Figures:
    there = _counted((max(since, life.started_at), life.until(until)) for life in lives)
    return figures(
        (_wait_s(turn, now) for turn in passed),
        bound_s=bound_s,
        worker_hours=sum(life.seconds(since, until) for life in lives) / 3600,
        gpu_hours=sum(life.seconds(since, until) * life.gpus for life in lives) / 3600,
        most_workers=max((count for _, count in there), default=0),
        starts=sum(since <= life.started_at < until for life in lives),
    )


def _held_s(turn: Passed, usual_s: float) -> float:
    """How long it had a slot; of one that has none yet, or never had, the usual time."""
    if turn.claimed_at is None or turn.finished_at is None:
        return usual_s
    return max(0.0, turn.finished_at - turn.claimed_at)


def _wait_s(turn: Passed, now: float) -> float:
    if turn.claimed_at is None and turn.finished_at is not None:
        return math.inf
    return max(0.0, (now if turn.claimed_at is None else turn.claimed_at) - turn.queued_at)


def _left_at(turn: Passed, now: float) -> float:
    """When it waited no more."""
    return next((at for at in (turn.claimed_at, turn.finished_at) if at is not None), now)


def _service(life: Lived, until: float) -> tuple[float, float]:
    """From when until when it took turns."""
    ends = [at for at in (life.draining_at, life.stopped_at) if at is not None]
    return life.ready_at or until, min(ends, default=until)


def _counted(spans: Iterable[tuple[float, float]]) -> list[tuple[float, int]]:
    """How many of the spans hold, from each moment on at which that changes."""
    changes: dict[float, int] = {}
    for begin, end in spans:
        if end > begin:
            changes[begin] = changes.get(begin, 0) + 1
            changes[end] = changes.get(end, 0) - 1
    moments = sorted(changes)
    return list(zip(moments, accumulate(changes[at] for at in moments), strict=True))
