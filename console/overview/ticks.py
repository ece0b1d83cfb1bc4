"""For how long the orchestrator has told the queue nothing, as far as this process has watched. Pure."""

from __future__ import annotations

BREAK_S = 15.0
"""After so long without a look the watch begins anew."""


class Ticks:
    """A queue forgets a tick within seconds, and a leader that has just begun has told nothing yet: so it is watched over time."""

    def __init__(self) -> None:
        self._looked_at: float | None = None
        self._since = 0.0

    def look(self, ago_s: float | None, *, now: float) -> float:
        """Seconds without a tick. `ago_s`: how long ago the last one was; None: the queue does not know of any."""
        if self._looked_at is None or not 0 <= now - self._looked_at <= BREAK_S:
            self._since = now
        if ago_s is not None:
            self._since = now - ago_s
        self._looked_at = now
        return now - self._since
