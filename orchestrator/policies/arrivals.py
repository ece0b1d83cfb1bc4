"""What came in, as a policy remembers it: counts of two minutes, and what each window of a quarter of an hour needed.

The need of a time is the smallest rate of service that would have kept every wait in it under the bound. By the
network calculus (Cruz, "A calculus for network delay", 1991) a server of rate c that begins with an empty queue keeps
all waits under b exactly if no interval, whatever its length s, brings more than c · (s + b). So the need is the
maximum of arrivals / (s + b) over all intervals: a short burst needs less than its rate, since the bound lets it be
served late. Over the longest interval that is looked at it is arrivals / s, since no queue may grow for ever.

Counted are turns, not what they cost, so that a better knowledge of the cost holds for the past as well. Pure: the
moment is an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BUCKET_S = 5.0
"""Length of a count: no longer than the shortest bound that is usual, so that a burst is not spread out."""

REACH = 24
"""Counts that are kept: two minutes. Over longer intervals (s + b) / s is near 1 anyway."""

WINDOW = 6
"""Counts to a window, for which one need is remembered: half a minute."""

WINDOWS = 30
"""Windows that are remembered: a quarter of an hour, enough errors to judge a forecast, and short against a day."""

GAP_S = 60.0
"""After a longer gap in the readings the memory begins anew; what came in a shorter one is spread over it evenly."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The memory. `count`: the queue's counter at the moment `at`; `counts`: turns of the last whole buckets, in order.

    `bucket_at` and `bucket`: when the present bucket began, and its turns so far. `window`: the needs (turns/s) at
    the ends of the present window's buckets; `needs`: of the windows before, in order.
    """

    at: float
    count: int
    bucket_at: float
    bucket: float = 0.0
    counts: tuple[float, ...] = ()
    window: tuple[float, ...] = ()
    needs: tuple[float, ...] = ()

    def shown(self, bound_s: float) -> float:
        """What the last half minute's counts have already shown to be needed, in turns/s."""
        return need(self.counts[-WINDOW:], bound_s=bound_s, reach=WINDOW)

    def recent(self, span_s: float) -> float:
        """Arrivals of the last `span_s` (whole buckets' evenly spread, the present one as it is), in turns/s."""
        total, left_s = self.bucket, span_s - (self.at - self.bucket_at)
        for came in reversed(self.counts):
            if left_s <= 0:
                break
            total += came * min(1.0, left_s / BUCKET_S)
            left_s -= BUCKET_S
        return total / span_s


def after(past: Arrivals | None, *, count: int, now: float, bound_s: float) -> Arrivals:
    """The memory after a reading of the counter, which may have begun anew at 0. An older reading changes nothing."""
    if past is None or now - past.at > GAP_S:
        return Arrivals(at=now, count=count, bucket_at=now)
    if now <= past.at:
        return past
    came = float(count - past.count if count >= past.count else count)
    per_s = came / (now - past.at)
    memory, at = past, past.at
    while now >= memory.bucket_at + BUCKET_S:
        end = memory.bucket_at + BUCKET_S
        share = min(came, per_s * (end - at))
        memory = _closed(memory, memory.bucket + share, bound_s)
        came, at = came - share, end
    return Arrivals(now, count, memory.bucket_at, memory.bucket + came, memory.counts, memory.window, memory.needs)


def need(counts: Sequence[float], *, bound_s: float, reach: int = REACH) -> float:
    """What the intervals that end with the last count need, in turns/s; `reach`: counts of the longest."""
    greatest = total = 0.0
    for number, came in enumerate(reversed(counts), start=1):
        total += came
        rate = total / (number * BUCKET_S + (bound_s if number < reach else 0.0))
        if rate > greatest:  # noqa: PLR1730 - it is asked often: max() would take twice as long
            greatest = rate
    return greatest


def _closed(memory: Arrivals, bucket: float, bound_s: float) -> Arrivals:
    """The present bucket is whole, with so many turns; with it, perhaps, the window."""
    counts = (*memory.counts, round(bucket, 2))[-REACH:]
    window = (*memory.window, round(need(counts, bound_s=bound_s), 3))
    needs = memory.needs
    if len(window) == WINDOW:
        needs, window = (*needs, max(window))[-WINDOWS:], ()
    return Arrivals(memory.at, memory.count, memory.bucket_at + BUCKET_S, 0.0, counts, window, needs)
