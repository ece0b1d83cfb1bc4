"""A text in chunks: at most so many tokens each, ended where the text pauses if it does so late enough. Pure.

A token is any span of characters: the caller says how a text is measured. Chunks overlap, so that one of them has a sentence whole
that stands at an edge.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

EARLIEST_END = 0.6
"""A chunk is at least so full, unless it is the last: a pause before that is not looked for."""
CHARACTERS_PER_TOKEN = 4

Span = tuple[int, int]
"""Characters from the first to before the second."""

_QUARTERS = re.compile(rf"\S{{1,{CHARACTERS_PER_TOKEN}}}")
_SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？", ":", ";")


class Piece(NamedTuple):
    """A chunk's place in its text."""

    start: int
    stop: int


def quarters(text: str) -> list[Span]:
    """Tokens of a text whose tokenizer is not at hand: four characters each, none across white space."""
    return [match.span() for match in _QUARTERS.finditer(text)]


def pieces(text: str, tokens: Sequence[Span], *, size: int, overlap: int) -> list[Piece]:
    """The chunks in order; none for a text without tokens. `overlap` is at most half of `size`."""
    found: list[Piece] = []
    first = 0
    while first < len(tokens):
        end = _end(text, tokens, first=first, latest=first + size)
        found.append(Piece(tokens[first][0], tokens[end - 1][1]))
        if end == len(tokens):
            break
        first = max(_word_from(text, tokens, end - overlap, end), first + 1)
    return found


def _end(text: str, tokens: Sequence[Span], *, first: int, latest: int) -> int:
    """Behind the chunk's last token: the last of the strongest pauses."""
    if latest >= len(tokens):
        return len(tokens)
    earliest = first + max(1, int((latest - first) * EARLIEST_END))
    return max(range(earliest, latest + 1), key=lambda end: (_pause(text, tokens, end), end))


def _pause(text: str, tokens: Sequence[Span], end: int) -> int:
    """How much of a pause there is before token `end`: a paragraph, a line, a sentence, a word, or none."""
    stop, start = tokens[end - 1][1], tokens[end][0]
    gap = text[stop:start]
    if gap.count("\n") > 1:
        return 4
    if "\n" in gap:
        return 3
    if not gap:
        return 0
    return 2 if text.endswith(_SENTENCE_ENDS, 0, stop) else 1


def _word_from(text: str, tokens: Sequence[Span], first: int, end: int) -> int:
    """The first token from `first` on that begins a word; `end` if none before it does."""
    for place in range(first, end):
        if tokens[place - 1][1] < tokens[place][0]:
            return place
    return end
