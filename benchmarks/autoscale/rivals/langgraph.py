"""LangGraph Platform's rule, from its documentation: ceil(pending / 10), at most 10, and 30 minutes before going down."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from benchmarks.autoscale.rivals.windows import Window
from orchestrator.rehearsal.scene import Sample


@dataclass
class LangGraph:
    """`pending` counts waiting and running runs: a worker of theirs holds ten."""

    per_worker: float = 10.0
    down_s: float = 1800.0
    most: int = 10
    least: int = 1
    _wanted: Window = field(init=False)

    def __post_init__(self) -> None:
        self._wanted = Window(self.down_s)

    @property
    def name(self) -> str:
        """With its settings."""
        return f"LangGraph {self.per_worker:g}, {self.down_s:g} s"

    def desired(self, sample: Sample) -> int:
        """See the module."""
        pending = sample.waiting + sample.running
        self._wanted.add(sample.at, max(self.least, math.ceil(pending / self.per_worker)))
        return min(self.most, round(self._wanted.maximum))
