"""What the runner tells the metrics of tool calls."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from telemetry.metrics.effects import TOOL_CALLS, TOOL_SECONDS


@dataclass(slots=True)
class Took:
    """One call; `fault` unless its outcome was told."""

    outcome: str = "fault"


@contextmanager
def timed(kind: str) -> Iterator[Took]:
    """Count and time a call of this kind: `http`, `mcp` or `builtin`."""
    took, begun = Took(), time.perf_counter()
    try:
        yield took
    finally:
        TOOL_CALLS.labels(kind, took.outcome).inc()
        TOOL_SECONDS.labels(kind).observe(time.perf_counter() - begun)
