"""A pool's demand and fleet over time as aligned columns, as a chart takes them: exact at every change. Pure.

Moments are Unix seconds. None is a gap (nobody saw that time), never zero.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class Seen:
    """A minute of demand: when it began, what came in, the most that waited."""

    at: float
    arrived: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Service:
    """From when until when a worker was ready; `end` None: it is."""

    begin: float
    end: float | None


@dataclass(frozen=True, slots=True)
class Columns:
    """All of the same length: `at`, the most that waited, what came in per minute, workers wanted, workers ready."""

    at: list[float]
    waiting: list[int | None]
    came: list[float | None]
    desired: list[int | None]
    ready: list[int]


Steps = Sequence[tuple[float, int]]
"""A value from each moment on, in the order of time."""


def columns(
    *, minutes: Iterable[Seen], services: Sequence[Service], desired: Steps, since: float, until: float, step_s: float
) -> Columns:
    """Laid over each other, from `since` until `until`; demand in steps of `step_s` (whole minutes)."""
    demand = _in_steps(minutes, step_s=step_s)
    ready = ready_over_time(services)
    edges = {since, until}
    edges |= {at for first in demand for at in (first, first + step_s)}
    edges |= {at for at, _ in (*ready, *desired)}
    moments = sorted(at for at in edges if since <= at <= until)
    found = [demand.get(at - (at % step_s)) if at < until else None for at in moments]
    return Columns(
        at=moments,
        waiting=[None if one is None else one[0] for one in found],
        came=[None if one is None else one[1] for one in found],
        desired=[_value(desired, at) for at in moments],
        ready=[_value(ready, at) or 0 for at in moments],
    )


def ready_over_time(services: Iterable[Service]) -> list[tuple[float, int]]:
    """How many workers were ready, from each moment on at which that changed."""
    changes: dict[float, int] = {}
    for one in services:
        changes[one.begin] = changes.get(one.begin, 0) + 1
        if one.end is not None:
            changes[one.end] = changes.get(one.end, 0) - 1
    steps: list[tuple[float, int]] = []
    count = 0
    for at in sorted(changes):
        if changes[at]:
            count += changes[at]
            steps.append((at, count))
    return steps


def _in_steps(minutes: Iterable[Seen], *, step_s: float) -> dict[float, tuple[int, float]]:
    """By each step's begin: the most that waited, and the mean of what came in within a minute that was seen."""
    parts: dict[float, list[Seen]] = {}
    for minute in minutes:
        parts.setdefault(minute.at - minute.at % step_s, []).append(minute)
    return {
        at: (max(one.waiting for one in part), round(sum(one.arrived for one in part) / len(part), 2))
        for at, part in parts.items()
    }


def _value(steps: Steps, at: float) -> int | None:
    """What stood at that moment; None before the first step."""
    place = bisect_right(steps, at, key=lambda step: step[0])
    return steps[place - 1][1] if place else None
