"""KEDA with the HPA, after kedacore/keda `scale_executor.go` and Kubernetes' HPA.

KEDA polls each 30 s: from zero to max(1, minimum) when the queue is longer than the activation value, to zero after
`cooldown_s` without work. Between one and the maximum the HPA decides each 15 s: ceil(metric / target) with a
tolerance of a tenth, up by at most the larger of twice and four more per 15 s, down to the maximum of the last 300 s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from benchmarks.autoscale.rivals.windows import Window
from orchestrator.rehearsal.scene import Sample

TOLERANCE = 0.1
HPA_S = 15.0


@dataclass
class Keda:
    """`target` is the list length (waiting and running, so that work in hand counts) that one worker is worth."""

    target: float = 5.0
    poll_s: float = 30.0
    cooldown_s: float = 300.0
    stabilization_s: float = 300.0
    _down: Window = field(init=False)
    _polled_at: float = -math.inf
    _judged_at: float = -math.inf
    _active_at: float = -math.inf
    _answer: int = 0

    def __post_init__(self) -> None:
        self._down = Window(self.stabilization_s)

    @property
    def name(self) -> str:
        """With its settings."""
        return f"KEDA {self.target:g} per worker, {self.poll_s:g}/{self.cooldown_s:g}/{self.stabilization_s:g} s"

    def desired(self, sample: Sample) -> int:
        """See the module."""
        now, load = sample.at, sample.waiting + sample.running
        if load:
            self._active_at = now
        if now - self._polled_at >= self.poll_s:
            self._polled_at = now
            if self._answer == 0 and load:
                self._answer = 1
                self._judged_at = now
            elif self._answer and now - self._active_at >= self.cooldown_s:
                self._answer = 0
        if self._answer and now - self._judged_at >= HPA_S:
            self._judged_at = now
            self._answer = self._hpa(now, load)
        return self._answer

    def _hpa(self, now: float, load: float) -> int:
        current = self._answer
        ratio = load / (self.target * current)
        wanted = current if abs(ratio - 1) <= TOLERANCE else math.ceil(load / self.target)
        wanted = min(max(1, wanted), max(2 * current, current + 4))
        self._down.add(now, wanted)
        return max(wanted, round(self._down.maximum)) if wanted < current else wanted
