"""Limits of a tenant and its keys with their current use, as bars with a text beside each. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from taskqueue.buckets import Meter

PER = {"requests": "requests per minute", "tokens": "tokens per minute", "month": "tokens per month"}
_SAID = {"requests": "per minute", "tokens": "tokens per minute", "month": "tokens this month"}
FULL = 1.0
NEARLY = 0.8


class Bar(NamedTuple):
    """One limit (0: none) and what is used of it."""

    name: str
    used: float
    limit: float
    text: str

    def plain(self) -> dict[str, Any]:
        """As the page draws it: `part` is None where there is no limit, or nobody knows."""
        part = None if not self.limit else min(1.0, self.used / self.limit)
        level = "none" if part is None else "full" if part >= FULL else "nearly" if part >= NEARLY else "free"
        return {"name": self.name, "part": part, "level": level, "text": self.text}


def queue_bars(pools: Mapping[str, tuple[int, int]], *, max_waiting: int, max_running: int) -> Iterator[Bar]:
    """Two for each pool: what waits there, and what runs (`pools` has both numbers)."""
    for pool, (waiting, running) in pools.items():
        yield Bar(f"waiting in {pool}", waiting, max_waiting, _of(waiting, max_waiting, "waiting"))
        yield Bar(f"running in {pool}", running, max_running, _of(running, max_running, "running"))


def spending_bars(
    meters: Sequence[Meter], spent: Mapping[str, int | None], *, of_month: int, unlimited: Sequence[str]
) -> Iterator[Bar]:
    """One for each of requests, tokens per minute, tokens per month; `of_month` stands in where Redis has not counted it.

    `unlimited`: those that have no limit. Of a minute without a limit nothing is measured; of a month the total is known.
    """
    by_what = {what_of(meter): meter for meter in meters}
    for what, name in PER.items():
        if what in unlimited or what not in by_what:
            text = f"{of_month:,} this month, no limit" if what == "month" else "no limit"
            yield Bar(name, 0, 0, text)
            continue
        meter = by_what[what]
        counted = spent[meter.name]
        used = of_month if counted is None else counted
        yield Bar(name, used, meter.limit, f"{used:,} of {meter.limit:,} {_SAID[what]}")


def money_bar(*, spent: Decimal, amount: Decimal, currency: str, is_hard: bool) -> Bar:
    """A month's budget."""
    then = "then new tasks are refused" if is_hard else "it only warns"
    text = f"{spent:,.2f} of {amount:,.2f} {currency} this month; {then}"
    return Bar("money per month", float(spent), float(amount), text)


def what_of(meter: Meter) -> str:
    """`requests`, `tokens` or `month`, by the name that `agents.limits.bill` gives a meter."""
    return meter.name.partition(":")[0].partition("-")[0]


def _of(used: int, limit: int, state: str) -> str:
    return f"{used:,} of {limit:,} {state}" if limit else f"{used:,} {state}, no limit"
