"""The phases of vLLM's start, read from what its engine core says in its log: it measures them, but tells nobody else.

A vLLM that words this otherwise is not misread: what could not be told apart stays the phase `engine`.
"""

from __future__ import annotations

import re

from gpu_worker.engines import Phases

LOADS = re.compile(r"Starting to load model|Loading model from scratch")
"""As its two model runners say it."""
LOADED = re.compile(r"Loading weights took|Model loading took")
SMALL_TALK = re.compile(r"\b(INFO|DEBUG) \d\d-\d\d ")
"""vLLM's lines below a warning."""


class VllmPhases:
    """Hears the log's lines, of all ranks: the first that says something counts."""

    def __init__(self, phases: Phases) -> None:
        self._phases = phases

    def hear(self, line: str) -> None:
        """One line. Until the model is loaded, the core's process was importing vLLM."""
        if LOADS.search(line):
            self._phases.enter("load", was="import", after="engine")
        elif LOADED.search(line):
            self._phases.enter("compile", after="load")
