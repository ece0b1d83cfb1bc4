"""A worker's last hour from the sums of its heartbeats: tokens a second, and the share of the time that its engine worked. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

GAP_S = 150.0
"""Between words that lie further apart nothing is known: a line would make it up."""


class Word(NamedTuple):
    """The sums since the worker's start, as its last heartbeat of a minute had them, at a moment (Unix s)."""

    at: float
    tokens: int
    busy_s: float


class Rates(NamedTuple):
    """For a chart: moments (Unix s), and what lay between each and the one before. None is a gap."""

    at: list[int]
    tokens_per_s: list[float | None]
    busy_share: list[float | None]


def rates(words: Sequence[Word]) -> Rates:
    """Of words in their order. Sums that fall are another process' own: what lay between is not known."""
    found = Rates([], [], [])
    for before, word in pairwise(words):
        between = word.at - before.at
        known = 0 < between <= GAP_S and word.tokens >= before.tokens and word.busy_s >= before.busy_s
        found.at.append(int(word.at))
        found.tokens_per_s.append(round((word.tokens - before.tokens) / between, 1) if known else None)
        found.busy_share.append(min(100.0, round(100 * (word.busy_s - before.busy_s) / between, 1)) if known else None)
    return found
