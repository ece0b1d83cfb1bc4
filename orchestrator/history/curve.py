"""A forecast as it was made: expected rates for the hours to come, and what forecasts of its kind were worth. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.policies.demand import Forecast


@dataclass(frozen=True, slots=True)
class Curve:
    """`turns_per_s`: the expected mean of each step of `step_s`, from `begins_at` on (Unix s).

    `error` and `plain_error` are parts of what came: how far forecasts of this kind lay off, and how far those that know no
    season; None where nothing could be tried. `season` says by which the forecast goes.
    """

    made_at: float
    begins_at: float
    step_s: float
    turns_per_s: Sequence[float]
    error: float | None = None
    plain_error: float | None = None
    season: str = ""

    def at(self, now: float, *, ahead_s: float) -> Forecast | None:
        """The highest rate that it expects from now until `ahead_s` on; None where it says nothing of that time."""
        first = math.floor((now - self.begins_at) / self.step_s)
        last = math.floor((now + ahead_s - self.begins_at) / self.step_s)
        if first < 0 or first >= len(self.turns_per_s):
            return None
        return Forecast(
            made_at=self.made_at,
            turns_per_s=max(self.turns_per_s[first : last + 1]),
            error=self.error,
            plain_error=self.plain_error,
            season=self.season,
        )
