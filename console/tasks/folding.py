"""Long texts for a page: the beginning, more of it folded away, and how much is left out. Pure."""

from __future__ import annotations

import msgspec

HEAD = 1_200
MORE = 40_000


class Folded(msgspec.Struct, frozen=True):
    """`head` is shown, `more` can be unfolded; `left_out` characters are on no page."""

    head: str
    more: str = ""
    left_out: int = 0

    @property
    def folded(self) -> int:
        """How many characters can be unfolded."""
        return len(self.more)


def folded(text: str, *, head: int = HEAD, more: int = MORE) -> Folded:
    """The text in these parts. What is only a little longer than `head` is not folded."""
    if len(text) <= head + head // 4:
        return Folded(text)
    return Folded(text[:head], text[head : head + more], max(0, len(text) - head - more))
