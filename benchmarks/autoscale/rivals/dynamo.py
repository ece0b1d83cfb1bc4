"""Dynamo's planner, its reactive part (`planner/core/`): each 5 s one up or one down, and none while a change is in
progress.

Up if the estimated time to first token is over its bound, down if that of N-1 workers (the load times N / (N-1), PR
9294) is under 0.8 of it. The estimate is the waiting and the arriving prompts over the fleet's prefill rate, plus a
step. The forecast (constant: the last 180 s' mean) is a floor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from benchmarks.autoscale.rivals.windows import Window
from orchestrator.rehearsal.scene import Sample


@dataclass
class Dynamo:
    """`prefill_tokens_per_s`: a worker's, as its profile was measured before."""

    prefill_tokens_per_s: float
    first_token_s: float = 0.5
    interval_s: float = 5.0
    forecast_s: float = 180.0
    down_share: float = 0.8
    requests_per_s: float = 6.0
    _prompts: Window = field(default_factory=lambda: Window(5.0))
    _arrived: Window = field(init=False)
    _forecast_at: float = -math.inf
    _floor: int = 1
    _decided_at: float = -math.inf
    _answer: int = 1

    def __post_init__(self) -> None:
        self._arrived = Window(self.forecast_s)

    @property
    def name(self) -> str:
        """With its settings."""
        return f"Dynamo {self.first_token_s:g} s, {self.interval_s:g}/{self.forecast_s:g} s"

    def desired(self, sample: Sample) -> int:
        """See the module."""
        now = sample.at
        self._prompts.add(now, sample.arrived_prompt_tokens)
        self._arrived.add(now, sample.arrived)
        if now - self._forecast_at >= self.forecast_s:
            self._forecast_at = now
            self._floor = max(1, math.ceil(self._arrived.growth / self.forecast_s / self.requests_per_s))
        if now - self._decided_at >= self.interval_s and not sample.starting:
            self._decided_at = now
            workers = max(1, self._answer)
            if self._estimate(sample, workers) > self.first_token_s:
                self._answer = workers + 1
            elif workers > 1 and self._estimate(sample, workers - 1) < self.down_share * self.first_token_s:
                self._answer = workers - 1
        self._answer = max(self._answer, self._floor)
        return self._answer

    def _estimate(self, sample: Sample, workers: int) -> float:
        """Time to first token: what waits, and how far arrivals outrun the fleet over one interval."""
        rate = workers * self.prefill_tokens_per_s
        outrun = max(0.0, self._prompts.growth / self._prompts.length_s - rate) * self._prompts.length_s
        return (sample.waiting_prompt_tokens + outrun) / rate
