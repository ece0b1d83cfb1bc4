"""Our policy `forecast` as a scaler: it records its demand and foresees from it by the code that production runs for both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from orchestrator.history.curve import Curve
from orchestrator.history.minutes import MINUTE_S, Reading, Tally, after
from orchestrator.history.seasons import STEP_S, forecast, history_of
from orchestrator.policies.demand import Signals
from orchestrator.rehearsal.scaler import Ours
from orchestrator.rehearsal.scene import Sample

EVERY_S = 300.0
"""As often as production makes a forecast anew."""


@dataclass
class WithForecast(Ours):
    """`past`: turns/s before the load, by the step of Unix time."""

    past: Mapping[int, float] = field(default_factory=dict)
    every_s: float = EVERY_S
    curve: Curve | None = None
    _sums: dict[int, list[int]] = field(default_factory=dict)
    _tally: Tally | None = None
    _made_at: float = -math.inf

    def signals(self, sample: Sample) -> Signals:
        """What is foreseen beside what is there."""
        now = self.begins_at + sample.at
        self._tally, minutes = after(self._tally, Reading(now, sample.arrived, 0))
        for minute in minutes:
            self._sums.setdefault(int(minute.begins_at // STEP_S), []).append(minute.arrived)
        if now - self._made_at >= self.every_s:
            seen = {step: sum(came) / (len(came) * MINUTE_S) for step, came in self._sums.items()}
            self.curve = forecast(history_of({**self.past, **seen}, ends_at=now), made_at=now)
            self._made_at = now
        signals = super().signals(sample)
        if self.curve is None:
            return signals
        return replace(signals, forecast=self.curve.at(now, ahead_s=signals.start_s or 0.0))
