"""Which texts go into one forward pass: of all turns that wait, those of like length, with a bound on what is padded. Pure.

Turns lead in rotation: each pass is as wide as the longest text that its leading turn has left, and is filled with the next
shorter texts of any turn. So a turn of one text waits for at most one pass of every other turn, however many texts those have.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from typing import NamedTuple

LEAST_FILL = 0.5
"""A text goes into a pass if it fills at least so much of the pass's width: no more than half of it is ever padding."""


class Text(NamedTuple):
    """A text that waits: its length in tokens, and which of its turn's texts it is."""

    length: int
    turn: str
    place: int


class LengthBatches:
    """The texts that wait. `tokens` bounds a pass, padding included; a text that is longer goes alone."""

    def __init__(self, *, tokens: int) -> None:
        self._tokens = tokens
        self._texts: list[Text] = []
        self._left: dict[str, list[Text]] = {}
        """By turn, in the order in which they lead; each turn's texts from short to long."""

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, turn: str, lengths: Sequence[int]) -> None:
        """A turn's texts wait from now on."""
        texts = sorted(Text(length, turn, place) for place, length in enumerate(lengths))
        for text in texts:
            insort(self._texts, text)
        if texts:
            self._left[turn] = texts

    def remove(self, turn: str) -> None:
        """Forget what waits of a turn, if anything does."""
        for text in self._left.pop(turn, ()):
            del self._texts[bisect_left(self._texts, text)]

    def take(self) -> list[Text]:
        """The texts of the next pass, from short to long; empty if none waits."""
        if not self._left:
            return []
        leading = next(iter(self._left))
        longest = self._left[leading][-1]
        width, here = longest.length, bisect_left(self._texts, longest)
        room = max(1, self._tokens // max(1, width))
        end = min(bisect_right(self._texts, width, key=lambda text: text.length), here + room)
        start = bisect_left(self._texts, math.ceil(width * LEAST_FILL), key=lambda text: text.length)
        taken = self._texts[max(start, end - room) : end]
        del self._texts[max(start, end - room) : end]
        for text in taken:
            self._left[text.turn].remove(text)
        for turn in {text.turn for text in taken} | {leading}:
            if not self._left[turn]:
                del self._left[turn]
        if leading in self._left:
            self._left[leading] = self._left.pop(leading)
        return taken
