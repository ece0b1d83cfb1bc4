"""The end of a worker's log as a page may show it: bounded, and nothing in it but text. Pure.

What a worker prints is not ours: a model's words, a library's colours and progress bars. Secrets (`masking`) are looked for in
what is left, before it is cut: an escape within one would hide it from whoever looks sooner.
"""

from __future__ import annotations

import re
from collections.abc import Callable

LINES = 120
LINE_CHARS = 400

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]")
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
"""Control characters, and those that make text look other than it is (its direction, nothing at all)."""


def shown(raw: str, *, hide: Callable[[str], str] = str) -> tuple[str, ...]:
    """The last `LINES` lines, each of `LINE_CHARS` characters at most; of a line that was written over, what it became.

    `hide` takes secrets out of a line.
    """
    lines = [_line(line, hide) for line in raw.split("\n")[-LINES - 1 :]]
    while lines and not lines[-1]:
        lines.pop()
    return tuple(lines[-LINES:])


def _line(line: str, hide: Callable[[str], str]) -> str:
    line = _ESCAPES.sub("", line.rstrip("\r").rpartition("\r")[2])
    line = hide(_UNSEEN.sub("", line)).expandtabs(4).rstrip()
    return line if len(line) <= LINE_CHARS else line[: LINE_CHARS - 1] + "…"
