"""What a span came to, rehearsed or as it was: figures, and curves of one grid, so that they can be laid over each other. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

POINTS = 240
"""Of the curves."""

Steps = Iterable[tuple[float, int]]
"""A value from each moment on, in the order of time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What it came to. Waits in s, over all turns of the span; None: so many were never served.

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
    """Figures, and curves over `at` (Unix s): the most that waited and the most workers that were ready, from each moment on."""

    figures: Figures
    at: list[float]
    waiting: list[int]
    ready: list[int]


def figures(
    waits_s: Iterable[float],
    *,
    bound_s: float,
    worker_hours: float,
    gpu_hours: float,
    most_workers: int,
    starts: int,
) -> Figures:
    """Of these waits (s); infinite is the wait of a turn that was never served."""
    waits = sorted(waits_s)
    return Figures(
        gpu_hours=gpu_hours,
        worker_hours=worker_hours,
        p50_s=_finite(quantile(waits, 0.5)),
        p95_s=_finite(quantile(waits, 0.95)),
        p99_s=_finite(quantile(waits, 0.99)),
        late=sum(wait > bound_s for wait in waits) / len(waits) if waits else 0.0,
        most_workers=most_workers,
        starts=starts,
        turns=len(waits),
        unserved=sum(wait == math.inf for wait in waits),
    )


def grid(begins_at: float, ends_at: float) -> list[float]:
    """The moments of the curves over a span, whole seconds apart: where each of at most `POINTS` equal parts begins."""
    part_s = max(1, math.ceil((ends_at - begins_at) / POINTS))
    return [begins_at + number * part_s for number in range(math.ceil((ends_at - begins_at) / part_s))]


def highest(steps: Steps, at: Sequence[float]) -> list[int]:
    """The highest value in each part of the grid; 0 before the first step. What comes after the last part counts in it."""
    if not at:
        return []
    found = [0] * len(at)
    part, value = 0, 0
    for moment, now in steps:
        while part + 1 < len(at) and moment >= at[part + 1]:
            part += 1
            found[part] = value
        found[part] = now if moment <= at[part] else max(found[part], now)
        value = now
    for rest in range(part + 1, len(at)):
        found[rest] = value
    return found


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that `share` of them do not exceed; 0 of none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def _finite(wait_s: float) -> float | None:
    return None if wait_s == math.inf else wait_s
