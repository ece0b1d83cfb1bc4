"""The Lua scripts as Redis runs them: the common prelude, then one state change."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

NAMES = (
    "enqueue", "claim", "emit", "finish", "heartbeat", "release", "reap", "cancel", "follow", "acknowledge", "signals",
    "restart",
)  # fmt: skip


class Script(NamedTuple):
    """A script's text and the digest by which Redis knows it once it is loaded."""

    name: str
    text: str
    sha: str


@cache
def script(name: str) -> Script:
    """Read one script of `NAMES`."""
    folder = files("taskqueue") / "lua"
    text = (folder / "prelude.lua").read_text() + "\n" + (folder / f"{name}.lua").read_text()
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
