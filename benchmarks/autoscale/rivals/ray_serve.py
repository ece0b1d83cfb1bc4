"""Ray Serve, after `serve/autoscaling_policy.py`: mean over a look-back of ongoing and queued requests, over a
target.

The answer is moved by a smoothing factor, and applied only after the same sign for `up_s` or `down_s`; from zero at
once; to zero only from one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from benchmarks.autoscale.rivals.windows import Window
from orchestrator.rehearsal.scene import Sample


@dataclass
class RayServe:
    """`target`: ongoing requests per replica."""

    target: float = 2.0
    look_back_s: float = 30.0
    up_s: float = 30.0
    down_s: float = 600.0
    smoothing: float = 1.0
    _ongoing: Window = field(init=False)
    _sign: int = 0
    _since: float = 0.0
    _answer: int = 0

    def __post_init__(self) -> None:
        self._ongoing = Window(self.look_back_s)

    @property
    def name(self) -> str:
        """With its settings."""
        return f"Ray Serve {self.target:g}, {self.look_back_s:g}/{self.up_s:g}/{self.down_s:g} s, ×{self.smoothing:g}"

    def desired(self, sample: Sample) -> int:
        """See the module."""
        now, load = sample.at, sample.waiting + sample.running
        self._ongoing.add(now, load)
        current = self._answer
        if current == 0:
            if load:
                self._answer, self._sign = max(1, math.ceil(load / self.target)), 0
            return self._answer
        error = self._ongoing.mean / (current * self.target)
        wanted = math.ceil(current * (1 + (error - 1) * self.smoothing) - 1e-9)
        if wanted == 0 and current > 1:
            wanted = 1
        sign = (wanted > current) - (wanted < current)
        if sign != self._sign:
            self._sign, self._since = sign, now
        if (sign > 0 and now - self._since >= self.up_s) or (sign < 0 and now - self._since >= self.down_s):
            self._answer, self._sign = wanted, 0
        return self._answer
