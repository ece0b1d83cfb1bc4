"""One worker in virtual time whose turns each have a slot for as long as their request says, however many it runs.

For turns of which it is known how long they had one; `orchestrator.rehearsal.engine` reckons that from their tokens.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field

from orchestrator.rehearsal.engine import Turn


@dataclass(slots=True, eq=False)
class Holds:
    """The turns that it holds, by their ends. Times in s; `next_at` is when it wants to be called again."""

    busy_s: float = 0.0
    _ends: list[tuple[float, int, Turn]] = field(default_factory=list)
    _since: float = 0.0

    @property
    def held(self) -> int:
        """Turns that it holds."""
        return len(self._ends)

    @property
    def next_at(self) -> float:
        """When the next one ends; infinite when it has nothing to do."""
        return self._ends[0][0] if self._ends else math.inf

    def join(self, turn: Turn, now: float) -> None:
        """Take a turn: it ends when it has had a slot for so long, what it had elsewhere included."""
        if not self._ends:
            self._since = now
        heapq.heappush(self._ends, (now + turn.request.hold_s - turn.held_s, turn.number, turn))

    def end_stretch(self) -> list[Turn]:
        """To be called at `next_at`: the turns that end now."""
        now, ended = self.next_at, []
        while self._ends and self._ends[0][0] <= now:
            turn = heapq.heappop(self._ends)[-1]
            turn.ended_at = now
            ended.append(turn)
        if not self._ends:
            self.busy_s += now - self._since
        return ended

    def release(self, now: float) -> list[Turn]:
        """Hand all turns over: another worker goes on where they are."""
        left = [turn for _, _, turn in self._ends]
        for ends_at, _, turn in self._ends:
            turn.held_s = turn.request.hold_s - (ends_at - now)
        if left:
            self.busy_s += now - self._since
        self._ends.clear()
        return left
