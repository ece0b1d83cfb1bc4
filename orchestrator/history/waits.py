"""Waits as numbers of turns by length, so that minutes add up to hours and still have quantiles. Pure.

A mean of quantiles is no quantile. What is kept is therefore a histogram whose bounds grow by the fourth root of 2 (as in Masson,
Rim and Lee, "DDSketch", VLDB 2019): a quantile read from it is at most 19% off, whatever its size, and sums of histograms are the
histogram of the whole. Bucket 0 is below `LEAST_S`, bucket n from `LEAST_S * 2^((n - 1) / 4)` on; the last one has no end. SQL puts
waits into the same buckets (`BUCKET`), and leaves out the empty ones at the end.
"""

from __future__ import annotations

from collections.abc import Sequence

LEAST_S = 0.01
PER_DOUBLING = 4
LAST = 84
"""From some 5 hours on all waits are of one bucket."""

BUCKET = (
    f"CASE WHEN {{wait_s}} < {LEAST_S} THEN 0 "
    f"ELSE least({LAST}, 1 + floor({PER_DOUBLING} * ln({{wait_s}} / {LEAST_S}) / ln(2)))::int END"
)
"""SQL of the bucket of a wait in seconds (double precision)."""


def lower_s(bucket: int) -> float:
    """Where a bucket begins, in seconds."""
    return 0.0 if bucket <= 0 else LEAST_S * 2.0 ** ((bucket - 1) / PER_DOUBLING)


def quantile_s(counts: Sequence[int], share: float, *, longest_s: float) -> float | None:
    """The wait in seconds under which this share of the turns lay, evenly spread in its bucket; None of no turns."""
    left = share * sum(counts)
    if not any(counts):
        return None
    for bucket, count in enumerate(counts):
        if count and left <= count:
            low = lower_s(bucket)
            high = min(longest_s, lower_s(bucket + 1)) if bucket < LAST else longest_s
            return round(min(longest_s, low + max(0.0, high - low) * left / count), 4)
        left -= count
    return longest_s


def added(one: Sequence[int], other: Sequence[int]) -> list[int]:
    """The histogram of both."""
    long, short = (one, other) if len(one) >= len(other) else (other, one)
    return [count + (short[at] if at < len(short) else 0) for at, count in enumerate(long)]
