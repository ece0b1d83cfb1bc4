"""SkyServe, after `sky/serve/autoscalers.py`: by the rate of requests, or by the length of the queue.

Rate: ceil(requests of 60 s / 60 / target_qps), decided each 20 s (5 s at zero), up after `up_s` and down after
`down_s` of agreement. Queue: one up while more than `queue_length` wait, one down while none do, with the same
delays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from benchmarks.autoscale.rivals.windows import Window
from orchestrator.rehearsal.scene import Sample

RATE_WINDOW_S = 60.0


@dataclass
class SkyServe:
    """`target_qps` per replica; with `queue_length` it is the queue's variant."""

    target_qps: float = 1.0
    queue_length: int | None = None
    up_s: float = 300.0
    down_s: float = 1200.0
    interval_s: float = 20.0
    minimum: int = 1
    _arrived: Window = field(default_factory=lambda: Window(RATE_WINDOW_S))
    _decided_at: float = -math.inf
    _up: int = 0
    _down: int = 0
    _answer: int = -1

    @property
    def name(self) -> str:
        """With its settings."""
        of = f"{self.target_qps:g}/s" if self.queue_length is None else f"queue {self.queue_length}"
        return f"SkyServe {of}, {self.up_s:g}/{self.down_s:g} s"

    def desired(self, sample: Sample) -> int:
        """See the module."""
        now = sample.at
        self._answer = self.minimum if self._answer < 0 else self._answer
        self._arrived.add(now, sample.arrived)
        interval = self.interval_s if self._answer else 5.0
        if now - self._decided_at < interval:
            return self._answer
        self._decided_at = now
        wanted = self._wanted(sample)
        self._up = self._up + 1 if wanted > self._answer else 0
        self._down = self._down + 1 if wanted < self._answer else 0
        if self._up and (self._up * interval >= self.up_s or self._answer == 0):
            self._answer, self._up = wanted, 0
        elif self._down and self._down * interval >= self.down_s:
            self._answer, self._down = wanted, 0
        return self._answer

    def _wanted(self, sample: Sample) -> int:
        if self.queue_length is None:
            return max(self.minimum, math.ceil(self._arrived.growth / RATE_WINDOW_S / self.target_qps))
        if sample.waiting > self.queue_length:
            return self._answer + 1
        return max(self.minimum, self._answer - 1) if sample.waiting == 0 else self._answer
