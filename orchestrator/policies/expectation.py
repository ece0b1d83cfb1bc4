"""A forecast some windows ahead, with the margin that its own past errors ask for. Pure.

Three simple forecasters stand beside each other: the mean of the memory, its last value, and the straight line
through its last ten. Each is made again for every window of the memory from what was known then, and the one with the
smallest root-mean-square error speaks. Which one that is is a property of the load: the mean for bursts without a
pattern, the last value for steps, the line for waves. On short series such forecasters are hard to beat (Makridakis
and Hibon, "The M3-Competition", 2000).

The margin makes it a prediction interval: the forecast plus t · error, where t is the quantile of Student's t for as
many errors as are known, so that little knowledge makes a wide margin. Demand is no bell curve, so the interval has a
limit: of n windows, the next one is the highest with a chance of 1 / (n + 1), and so what is reckoned with is at most
(1 + 4 / n) times the highest that was seen, unless the forecast itself says more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from operator import mul
from statistics import NormalDist

LINE = 10
"""Values that the line is laid through."""

BEYOND = 4.0
"""How far past the highest of n values the margin may reach: this n-th part of it."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """`expected` and the `margin` above it, in the values' unit; `by`: who spoke, judged by so many `errors`."""

    expected: float
    margin: float
    by: str
    errors: int

    @property
    def most(self) -> float:
        """What is to be reckoned with."""
        return self.expected + self.margin


def _mean(values: Sequence[float], ahead: int) -> float:
    return sum(values) / len(values)


def _last(values: Sequence[float], ahead: int) -> float:
    return values[-1]


def _line(values: Sequence[float], ahead: int) -> float:
    recent = values[-LINE:]
    if len(recent) < 3:
        return recent[-1]
    middle, mean = (len(recent) - 1) / 2, sum(recent) / len(recent)
    offsets, spread = _places(len(recent))
    slope: float = sum(map(mul, offsets, recent)) / spread
    return max(0.0, mean + slope * (middle + ahead))


@cache
def _places(count: int) -> tuple[tuple[float, ...], float]:
    """How far each of so many places lies off their middle, and the sum of the squares."""
    offsets = tuple(place - (count - 1) / 2 for place in range(count))
    return offsets, sum(offset**2 for offset in offsets)


FORECASTERS: Mapping[str, Callable[[Sequence[float], int], float]] = {"last": _last, "mean": _mean, "trend": _line}


@lru_cache(maxsize=1024)  # the values change twice a minute, the question is asked every second
def expectation(values: tuple[float, ...], *, ahead: int, share: float) -> Expectation | None:
    """For the value `ahead` places on, exceeded in 1 - `share` of the cases; None until an error is known."""
    known = len(values) - ahead
    if known < 1:
        return None
    squares = {
        name: sum((values[end - 1 + ahead] - forecaster(values[:end], ahead)) ** 2 for end in range(1, known + 1))
        for name, forecaster in FORECASTERS.items()
    }
    by = min(squares, key=squares.__getitem__)
    expected = FORECASTERS[by](values, ahead)
    margin = student(share, known) * math.sqrt(squares[by] / known)
    limit = max(values) * (1 + BEYOND / len(values))
    return Expectation(expected, max(0.0, min(margin, limit - expected)), by, known)


def student(share: float, freedom: int) -> float:
    """Quantile of Student's t, `share` from 0.5 up: exact for 1 and 2 degrees of freedom, else by Cornish and Fisher."""
    if freedom == 1:
        return math.tan(math.pi * (share - 0.5))
    if freedom == 2:
        return (2 * share - 1) / math.sqrt(2 * share * (1 - share))
    z = NormalDist().inv_cdf(share)
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )
