"""Knative's KPA, after knative/serving `pkg/autoscaler/scaling/autoscaler.go`; AIBrix' KPA is the same with longer
windows.

The metric is concurrency: requests in the workers and in the activator's queue. With ready = max(1, ready workers):
S = ceil(stable mean / target) and P = ceil(panic mean / target), both clamped to [floor(ready / down), ceil(up ·
ready)]. Panic begins when the unclamped P is at least `panic_threshold` times ready, and ends a stable window after
the last such tick; in panic the answer is the running maximum of max(S, P). To zero after a stable window without
activity and 30 s of grace.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from benchmarks.autoscale.rivals.windows import Window
from orchestrator.rehearsal.scene import Sample


@dataclass
class Knative:
    """`concurrency` is a worker's (soft) limit, of which `utilization` is the target."""

    concurrency: float
    utilization: float = 0.7
    stable_s: float = 60.0
    panic_s: float = 6.0
    panic_threshold: float = 2.0
    up: float = 1000.0
    down: float = 2.0
    grace_s: float = 30.0
    tick_s: float = 2.0
    label: str = "Knative"
    _stable: Window = field(init=False)
    _panic: Window = field(init=False)
    _panicking_until: float = -math.inf
    _most: int = 0
    _decided_at: float = -math.inf
    _answer: int = 0
    _active_at: float = -math.inf

    def __post_init__(self) -> None:
        self._stable, self._panic = Window(self.stable_s), Window(self.panic_s)

    @property
    def name(self) -> str:
        """With its settings."""
        return f"{self.label} {self.utilization:g}×{self.concurrency:g}, {self.stable_s:g}/{self.panic_s:g} s"

    def desired(self, sample: Sample) -> int:
        """See the module."""
        now, load = sample.at, sample.waiting + sample.running
        self._stable.add(now, load)
        self._panic.add(now, load)
        if load:
            self._active_at = now
        if now - self._decided_at < self.tick_s:
            return self._answer
        self._decided_at = now
        self._answer = self._decide(sample)
        return self._answer

    def _decide(self, sample: Sample) -> int:
        now, ready, target = sample.at, max(1, sample.ready), self.concurrency * self.utilization
        least, most = math.floor(ready / self.down), math.ceil(self.up * ready)
        wanted_panic = math.ceil(self._panic.mean / target)
        stable = min(max(math.ceil(self._stable.mean / target), least), most)
        panic = min(max(wanted_panic, least), most)
        if wanted_panic / ready >= self.panic_threshold:
            if now >= self._panicking_until:
                self._most = sample.ready
            self._panicking_until = now + self.stable_s
        if now < self._panicking_until:
            self._most = max(self._most, stable, panic)
            return self._most
        if stable == 0 and sample.current:
            return 0 if now - self._active_at >= self.stable_s + self.grace_s else 1
        return stable
