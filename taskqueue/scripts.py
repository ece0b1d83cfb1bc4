"""The Lua scripts as Redis runs them: what they have in common, then one state change."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

NAMES = (
    "enqueue", "claim", "emit", "finish", "heartbeat", "release", "reap", "cancel", "follow", "acknowledge", "signals",
    "restart", "limit", "abandon", "place", "note", "end_task", "hold",
    "dismiss",
)  # fmt: skip
"""A pool's queue, each after `prelude.lua`."""
FORETELLING = ("enqueue", "place")
"""Those that say how long a turn may wait: after `outlook.lua`, too."""
BUDGET_NAMES = ("reserve", "settle")
"""A tenant's budget, each after `budget.lua`."""


class Script(NamedTuple):
    """A script's text and the digest by which Redis knows it once it is loaded."""

    name: str
    text: str
    sha: str


@cache
def script(name: str) -> Script:
    """Read one script of `NAMES` or `BUDGET_NAMES`."""
    folder = files("taskqueue") / "lua"
    common = [
        "budget.lua" if name in BUDGET_NAMES else "prelude.lua",
        *(["outlook.lua"] if name in FORETELLING else []),
    ]
    text = "\n".join((folder / part).read_text() for part in (*common, f"{name}.lua"))
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
