"""Child processes that die when the worker is killed: an engine core left behind would keep its GPU's memory for ever.

vLLM ends its core when the worker ends in order. On SIGKILL only the kernel can do it, by the parent-death signal that a
child asks for. It is sent when the thread that started the child ends, so start children from a thread that stays.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

PR_SET_PDEATHSIG = 1


class LeashedProcess(SpawnProcess):
    """A spawned process that asks for its parent's death signal before it runs its target."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._holder = os.getpid()

    def run(self) -> None:
        if sys.platform == "linux":
            ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != self._holder:  # it died before this process asked
                os._exit(1)
        super().run()


def leash_children() -> None:
    """From now on every process that this one spawns is leashed."""
    SpawnContext.Process = LeashedProcess
