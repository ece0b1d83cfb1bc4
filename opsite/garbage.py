"""What a process has loaded at its start, kept out of Python's garbage collection.

A full collection walks every object that the process holds, and nothing else runs meanwhile: with Django, the console and its
addresses loaded that is some 240,000 objects and 0.2 s, in which no stream moves. None of them ever becomes garbage.
"""

from __future__ import annotations

import gc


def leave_loaded_alone() -> None:
    """Collect once, and let later collections pass over what is there now. To be called when a process is ready to serve."""
    gc.collect()
    gc.freeze()
