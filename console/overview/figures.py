"""The figures of one pool's last minutes: waits, rates, errors. Pure but for the rows that it is given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from orchestrator.history.minutes import MINUTE_S
from orchestrator.history.waits import added, quantile_s
from orchestrator.turn_rows import TurnMinute

MINUTES = 5
"""The minute that goes on, and so many before it less one: enough turns for a quantile, few enough to be now."""


class Lately(NamedTuple):
    """Of the last `MINUTES` minutes: waits in seconds (None: no turn was claimed), turns that ended, and those of them that failed.

    The rates are those of the last minute and what has passed of this one.
    """

    wait_p50_s: float | None
    wait_p95_s: float | None
    ended: int
    failed: int
    tasks_per_min: float
    turns_per_min: float
    failed_per_min: float


def begin_of(now: datetime) -> datetime:
    """The first minute that counts."""
    return now.replace(second=0, microsecond=0) - timedelta(minutes=MINUTES - 1)


def lately(rows: Iterable[TurnMinute], *, now: datetime) -> Lately:
    """From a pool's minutes since `begin_of(now)`. A minute without a row had no turns."""
    known = list(rows)
    counts: Sequence[int] = []
    for row in known:
        counts = added(counts, row.waits)
    longest_s = max((row.longest_wait_ms for row in known), default=0) / 1000
    since = now.replace(second=0, microsecond=0) - timedelta(seconds=MINUTE_S)
    last = [row for row in known if row.minute >= since]
    minutes = (now - since).total_seconds() / MINUTE_S
    return Lately(
        wait_p50_s=quantile_s(counts, 0.5, longest_s=longest_s),
        wait_p95_s=quantile_s(counts, 0.95, longest_s=longest_s),
        ended=sum(row.ended for row in known),
        failed=sum(row.failed for row in known),
        tasks_per_min=round(sum(row.tasks_begun for row in last) / minutes, 1),
        turns_per_min=round(sum(row.ended for row in last) / minutes, 1),
        failed_per_min=round(sum(row.failed for row in last) / minutes, 1),
    )
