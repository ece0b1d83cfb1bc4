"""Keeps what a starting engine and its child processes print, so that a failed start can be told in one line.

vLLM's own exception says "see root cause above"; the cause stands in the output of its child. While `ChildNoise` is
entered, standard output and error of this process and of the children it starts go into a pipe. Afterwards this process
has its own back; the children go on writing into the pipe, and what they say once they are started is passed on.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType

_CAUSE = re.compile(r"\b([A-Z]\w*(?:Error|Exception|Interrupt)): (.+)")
_EMPTY = "Engine core initialization failed"


def root_cause(lines: list[str]) -> str | None:
    """The last exception in some log lines that says more than that another one happened."""
    causes = [found for line in lines if (found := _CAUSE.search(line)) and _EMPTY not in line]
    return f"{causes[-1][1]}: {causes[-1][2].strip()}" if causes else None


class ChildNoise:
    """A context in which file descriptors 1 and 2 are a pipe. `passed_on`: all of it is shown as well, at once.

    `hears` is given each line, on a thread of its own. Lines in which `drops` is found are never passed on.
    """

    def __init__(
        self, *, passed_on: bool, hears: Callable[[str], None] | None = None, drops: re.Pattern[str] | None = None
    ) -> None:
        self._passed_on = passed_on
        self._hears = hears
        self._drops = drops
        self._lines: deque[str] = deque(maxlen=400)
        self._saved: list[int] = []
        self._reader: threading.Thread | None = None

    def __enter__(self) -> ChildNoise:
        sys.stdout.flush()
        sys.stderr.flush()
        source, sink = os.pipe()
        self._saved = [os.dup(1), os.dup(2)]
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        os.close(sink)
        self._reader = threading.Thread(target=self._read, args=(source,), name="child noise", daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(self._saved[0], 1)
        os.dup2(self._saved[1], 2)
        self._passed_on = self._passed_on or error is None

    def cause(self, *, wait_s: float = 1.0) -> str | None:
        """The root cause of a failed start; waits for the children to have said it all."""
        if self._reader:
            self._reader.join(wait_s)
        return root_cause(list(self._lines))

    def _read(self, source: int) -> None:
        with os.fdopen(source, errors="replace") as stream:
            for line in stream:
                self._lines.append(line)
                if self._hears is not None:
                    self._hears(line)
                if self._passed_on and not (self._drops is not None and self._drops.search(line)):
                    os.write(self._saved[1], line.encode())
