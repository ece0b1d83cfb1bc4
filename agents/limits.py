"""What a submission is counted against, and what its sender is told of it. Pure.

A tenant's limits and its key's are meters of one budget, so one script takes from all of them or from none.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from agents.problems import Problem, budget_spent, over_limit, too_costly
from taskqueue.buckets import NEVER, Meter, Reading

_SAID = {
    "requests": "requests per minute",
    "tokens": "tokens per minute",
    "month": "tokens per month",
}
_CODES = {"requests": "rate_limit_exceeded", "tokens": "rate_limit_exceeded", "month": "insufficient_quota"}


class Limits(NamedTuple):
    """A tenant's or a key's; 0 means none."""

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    tokens_per_month: int = 0


class Month(NamedTuple):
    """A calendar month of the moment's own zone."""

    start: datetime
    end: datetime

    @classmethod
    def of(cls, moment: datetime) -> Month:
        """The month that the moment lies in."""
        start = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        following = {"year": start.year + 1, "month": 1} if start.month == 12 else {"month": start.month + 1}
        return cls(start, start.replace(**following))  # type: ignore[arg-type]

    @property
    def end_ms(self) -> int:
        """Its end in Unix milliseconds."""
        return round(self.end.timestamp() * 1000)


class Bill(NamedTuple):
    """What a submission takes from its tenant's budget; no meters where nothing is limited."""

    tenant: uuid.UUID
    key: uuid.UUID | None
    month: Month
    meters: tuple[Meter, ...]

    def refunded(self) -> list[Meter]:
        """The meters that give it all back."""
        return [meter._replace(cost=-meter.cost) for meter in self.meters]

    def totals(self) -> list[tuple[str, uuid.UUID | None]]:
        """The month's totals that it counts in, each with the key whose tasks it counts (None: all of the tenant's)."""
        return [(meter.name, _owner(meter.name)) for meter in self.meters if meter.kind == "month"]


def bill(
    *,
    tenant: uuid.UUID,
    limits: Limits,
    key: uuid.UUID | None,
    key_limits: Limits,
    at: datetime,
    requests: int,
    tokens: int,
) -> Bill:
    """One submission of an estimated cost, or (`requests` 0) the correction of one that was submitted at `at`."""
    month = Month.of(at)
    meters: list[Meter] = []
    for owner, its in (("", limits), (f":{key}", key_limits)):
        if its.requests_per_minute and requests:
            meters.append(Meter("minute", f"requests{owner}", its.requests_per_minute, requests))
        if its.tokens_per_minute:
            meters.append(Meter("minute", f"tokens{owner}", its.tokens_per_minute, tokens))
        if its.tokens_per_month:
            meters.append(Meter("month", f"month-{month.start:%Y-%m}{owner}", its.tokens_per_month, tokens))
    return Bill(tenant, key, month, tuple(meters))


def joint(bills: Sequence[Bill]) -> Bill:
    """One bill for what is accepted together: of each meter the sum. All are of one tenant, key and month."""
    costs: dict[str, Meter] = {}
    for meter in (meter for one in bills for meter in one.meters):
        known = costs.get(meter.name)
        costs[meter.name] = meter if known is None else known._replace(cost=known.cost + meter.cost)
    return bills[0]._replace(meters=tuple(costs.values()))


def refusal(readings: Sequence[Reading]) -> Problem:
    """Why a reservation was refused, by the meter that it would have to wait for longest."""
    never = [reading for reading in readings if reading.wait_ms == NEVER]
    if never:
        meter = never[0].meter
        return too_costly(cost=meter.cost, limit=f"{meter.limit} {_SAID[_what(meter.name)]}", owner=_said_owner(meter))
    worst = max(readings, key=lambda reading: reading.wait_ms)
    what = _what(worst.meter.name)
    return over_limit(
        code=_CODES[what],
        limit=f"{worst.meter.limit} {_SAID[what]}",
        owner=_said_owner(worst.meter),
        retry_after_s=seconds(worst.wait_ms),
        headers=headers(readings),
    )


def refusal_of_spent(*, tenant_until: datetime | None, key_until: datetime | None, now: datetime) -> Problem | None:
    """Why nothing is accepted of a tenant or key whose budget of money is spent until that moment; None where it may go on."""
    waits = [(until, owner) for until, owner in ((tenant_until, "this tenant"), (key_until, "this API key")) if until]
    if not waits or max(waits)[0] <= now:
        return None
    until, owner = max(waits)
    return budget_spent(owner, seconds(math.ceil((until - now).total_seconds() * 1000)))


def headers(readings: Sequence[Reading]) -> dict[str, str]:
    """The rate limits as OpenAI's clients know them; of the tenant's and the key's, the one that has less left."""
    said: dict[str, str] = {}
    for what in ("requests", "tokens"):
        known = [reading for reading in readings if _what(reading.meter.name) == what]
        if known:
            tightest = min(known, key=lambda reading: (reading.remaining, -reading.reset_ms))
            said[f"x-ratelimit-limit-{what}"] = str(tightest.meter.limit)
            said[f"x-ratelimit-remaining-{what}"] = str(tightest.remaining)
            said[f"x-ratelimit-reset-{what}"] = duration(tightest.reset_ms)
    return said


def duration(ms: int) -> str:
    """Milliseconds as OpenAI writes them: `17ms`, `8.64s`, `1m30s`."""
    if ms < 1000:
        return f"{ms}ms"
    minutes, rest_ms = divmod(ms, 60_000)
    rest = f"{rest_ms / 1000:.3f}".rstrip("0").rstrip(".")
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def seconds(ms: int) -> int:
    """What to put into `Retry-After`: whole seconds, none too few."""
    return max(1, math.ceil(ms / 1000))


def _what(name: str) -> str:
    return name.partition(":")[0].partition("-")[0]


def _owner(name: str) -> uuid.UUID | None:
    owner = name.partition(":")[2]
    return uuid.UUID(owner) if owner else None


def _said_owner(meter: Meter) -> str:
    return "this API key" if _owner(meter.name) else "this tenant"
