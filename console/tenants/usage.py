"""Usage and cost over time, ready to be drawn: the largest agents or pools by themselves, the others together."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from billing.selectors import Interval, currency, money, usage
from tenants.models import Tenant

Span = Literal["day", "week", "month"]
By = Literal["agent", "pool"]
ROWS_MAX = 20_000
SHOWN = 5
"""Agents, or pools, that have a line of their own."""
COUNTS = ("requests", "failed", "prompt_tokens", "completion_tokens", "cost")
OTHERS = "all others"


class Window(NamedTuple):
    """The hours or days that a span has, the last one being the present one."""

    begin: datetime
    end: datetime
    step: timedelta

    @classmethod
    def of(cls, span: Span, *, now: datetime) -> Window:
        """The last 24 hours, the last 7 days by the hour, or the last 30 days by the day; all in UTC."""
        hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        if span == "day":
            return cls(hour - timedelta(hours=24), hour, timedelta(hours=1))
        if span == "week":
            return cls(hour - timedelta(days=7), hour, timedelta(hours=1))
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        return cls(midnight - timedelta(days=30), midnight, timedelta(days=1))

    @property
    def interval(self) -> Interval:
        """As the roll-up is asked for it."""
        return "hour" if self.step == timedelta(hours=1) else "day"

    @property
    def starts(self) -> list[datetime]:
        """The first moments of its steps."""
        return [self.begin + number * self.step for number in range((self.end - self.begin) // self.step)]


def series(tenant: Tenant, *, span: Span, by: By, now: datetime) -> dict[str, Any]:
    """A line for each of the largest groups, by cost and then by tokens, with its totals. What was not used is zero."""
    window = Window.of(span, now=now)
    group = "agent" if by == "agent" else "model"
    rows = usage(
        tenant=tenant,
        begin=window.begin,
        end=window.end,
        interval=window.interval,
        group_by=(group,),
        filters={},
        limit=ROWS_MAX + 1,
    )
    is_cut = len(rows) > ROWS_MAX
    places = {start: number for number, start in enumerate(window.starts)}
    totals: dict[str, dict[str, Any]] = defaultdict(lambda: dict.fromkeys(COUNTS, 0))
    for row in rows:
        for name in COUNTS:
            totals[row[group]][name] += row[name]
    ranked = sorted(totals, key=lambda one: (-totals[one]["cost"], -_tokens(totals[one]), one))
    names = [*ranked[:SHOWN], *([OTHERS] if ranked[SHOWN:] else [])]
    lines = {name: {count: [0.0] * len(places) for count in COUNTS} for name in names}
    summed: dict[str, dict[str, Any]] = {name: dict.fromkeys(COUNTS, 0) for name in names}
    for row in rows:
        name = row[group] if row[group] in ranked[:SHOWN] else OTHERS
        for count in COUNTS:
            lines[name][count][places[row["start"]]] += float(row[count])
            summed[name][count] += row[count]
    return {
        "currency": currency(),
        "interval": window.interval,
        "starts": [start.timestamp() for start in window.starts],
        "groups": [{"name": name, "lines": lines[name], "totals": _plain(summed[name])} for name in names],
        "totals": _plain({count: sum(one[count] for one in summed.values()) for count in COUNTS}),
        "is_cut": is_cut,
    }


def _tokens(total: dict[str, Any]) -> int:
    return int(total["prompt_tokens"] + total["completion_tokens"])


def _plain(total: dict[str, Any]) -> dict[str, Any]:
    return {**total, "cost": money(round(Decimal(total["cost"]), 6))}
