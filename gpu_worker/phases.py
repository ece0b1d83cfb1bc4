"""What a worker's start takes, phase by phase, by its own clock. Engines say what begins; what they cannot tell apart is absent.

An engine that hides its phases (vLLM in its child processes) may say afterwards what a phase was: `was` gives its time
another name.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from taskqueue.messages import StartPhase


class StartPhases:
    """One start. Engines speak from threads of their own, the heartbeat reads meanwhile."""

    def __init__(self, *, interpreter_s: float | None = None) -> None:
        self._lock = threading.Lock()
        self._took: dict[StartPhase, float] = {}
        self._now: StartPhase | None = None
        self._since = time.monotonic()
        if interpreter_s is not None:
            self._took["interpreter"] = round(interpreter_s, 3)

    def enter(self, phase: StartPhase, *, was: StartPhase | None = None, after: StartPhase | None = None) -> None:
        """This phase begins, so that the one before has ended; `was`: what that one turned out to be.

        `after`: it does so only out of that phase; for who learns of it late.
        """
        with self._lock:
            if after is None or self._now == after:
                self._end(was)
                self._now = phase

    def end(self) -> None:
        """The last phase has ended."""
        with self._lock:
            self._end(None)
            self._now = None

    def read(self) -> tuple[dict[StartPhase, float], StartPhase | None]:
        """Seconds of the phases that have ended, in their order, and the one that is under way."""
        with self._lock:
            return dict(self._took), self._now

    def _end(self, name: StartPhase | None) -> None:
        now = time.monotonic()
        if self._now is not None:
            phase = name or self._now
            self._took[phase] = round(self._took.get(phase, 0.0) + now - self._since, 3)
        self._since = now


def process_age_s() -> float | None:
    """How long this process has existed, by the kernel's word (to 10 ms); None where there is no /proc."""
    with suppress(OSError, ValueError, IndexError):
        after_name = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        begun_s = int(after_name[19]) / os.sysconf("SC_CLK_TCK")  # field 22 of proc(5), since boot
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - begun_s)
    return None
