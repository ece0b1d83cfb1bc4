"""How long a pool's workers take to start: a running quantile over the last starts of each runtime, cold and warm apart. Pure.

A start is *warm* when another worker of the same pool and runtime was ready at its beginning, or had been within `WARM_S`
before: then the image is there, and the weights are likely still in the host's memory. What a runtime knows better (an image
that is pulled) shows in the time itself. The next start is judged by the same rule; where its kind was never seen, the other
kind is the best guess.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median_low

REMEMBERED = 20
QUANTILE = 0.8
"""A start is expected to take no longer than this share of the last ones did."""
WARM_S = 600.0


@dataclass(frozen=True, slots=True)
class Life:
    """A worker's life, in Unix seconds; `ready_at` and `ended_at` are None where that has not been."""

    runtime: str
    begun_at: float
    ready_at: float | None = None
    ended_at: float | None = None


@dataclass(slots=True)
class StartTimes:
    """The last starts of one pool's workers, by runtime and by whether they were warm."""

    _taken: dict[tuple[str, bool], deque[float]] = field(default_factory=dict)
    _there: dict[str, deque[tuple[float, float]]] = field(default_factory=dict)
    """By runtime, from when until when ready workers were there; gaps of up to `WARM_S` are left out."""

    def became_ready(self, life: Life) -> None:
        """A worker is ready, or was; to be told in the order in which they became so."""
        if life.ready_at is None:
            return
        warm = self.is_warm(life.runtime, at=life.begun_at)
        taken = self._taken.setdefault((life.runtime, warm), deque(maxlen=REMEMBERED))
        taken.append(max(0.0, life.ready_at - life.begun_at))
        self.were_there(life.runtime, since=life.ready_at, until=life.ended_at or life.ready_at)

    def were_there(self, runtime: str, *, since: float, until: float) -> None:
        """Ready workers of that runtime were there all this time."""
        spans = self._there.setdefault(runtime, deque(maxlen=REMEMBERED))
        if spans and since <= spans[-1][1] + WARM_S:
            before = spans.pop()
            since, until = min(since, before[0]), max(until, before[1])
        spans.append((since, until))

    def is_warm(self, runtime: str, *, at: float) -> bool:
        """Whether a start that begins at this moment is a warm one."""
        return any(since <= at <= until + WARM_S for since, until in self._there.get(runtime, ()))

    def expected_s(self, runtime: str, *, at: float) -> float | None:
        """How long a start takes that begins at this moment; None while none was seen."""
        warm = self.is_warm(runtime, at=at)
        taken = self._taken.get((runtime, warm)) or self._taken.get((runtime, not warm))
        return quantile(taken) if taken else None

    def usual_s(self, runtime: str, *, warm: bool) -> float | None:
        """What the middle one of the last starts of that kind took, of the other kind where it was never seen; None of none."""
        taken = self._taken.get((runtime, warm)) or self._taken.get((runtime, not warm))
        return median_low(taken) if taken else None

    def taken(self, runtime: str) -> tuple[float, ...]:
        """What the last starts of that runtime took (s), cold ones first."""
        return tuple(one for warm in (False, True) for one in self._taken.get((runtime, warm), ()))


def quantile(taken: Iterable[float]) -> float:
    """The smallest that is not below `QUANTILE` of them all (nearest rank)."""
    ordered = sorted(taken)
    return ordered[math.ceil(QUANTILE * len(ordered)) - 1]


def remembered(lives: Iterable[Life]) -> StartTimes:
    """What past workers tell, in any order."""
    times = StartTimes()
    for life in sorted(lives, key=lambda life: life.ready_at or 0.0):
        times.became_ready(life)
    return times
