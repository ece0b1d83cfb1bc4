"""Whether a process still does its work, as its loops tell: what `/livez` and `/readyz` answer beside the web process' own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Pulse:
    """The beats of one process's loops. May be used from any thread.

    A process is alive if each loop that ever beat did so within its bound, and ready if none says what it lacks.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._due: dict[str, float] = {}
        self._lacks: dict[str, str] = {}

    def beat(self, loop: str, *, within_s: float) -> None:
        """This loop turns; it will beat again within so many seconds."""
        with self._lock:
            self._due[loop] = self._clock() + within_s

    def end(self, loop: str) -> None:
        """This loop is over, as it should be."""
        with self._lock:
            self._due.pop(loop, None)
            self._lacks.pop(loop, None)

    def lacks(self, loop: str, what: str) -> None:
        """What keeps this loop from its work; empty: nothing."""
        with self._lock:
            self._lacks[loop] = what

    def silent(self) -> list[str]:
        """Loops that have not beaten in time."""
        with self._lock:
            now = self._clock()
            return sorted(loop for loop, due in self._due.items() if due < now)

    def wanting(self) -> dict[str, str]:
        """What is lacking, by loop; that none has begun is lacking too."""
        with self._lock:
            return {loop: what for loop, what in self._lacks.items() if what} if self._due else {"process": "begins"}


PULSE = Pulse()
"""This process's."""
