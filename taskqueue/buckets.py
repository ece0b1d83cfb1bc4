"""What a tenant may spend: buckets per minute and totals per month. Pure; `lua/reserve.lua` and `lua/settle.lua` do the same.

A bucket per minute is the leaky bucket as a meter (ITU-T I.371, the generic cell rate algorithm): what is spent fills it, it leaks
evenly, and what would make it run over has to wait. Its `debt` is kept in unit-milliseconds (units times `WINDOW_MS`): then it
leaks exactly `limit` in a millisecond, all numbers are whole, and Python and Lua agree to the last one.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

WINDOW_MS = 60_000
NEVER = -1
"""The wait of what costs more than the whole limit."""


class Meter(NamedTuple):
    """One limit that a request counts against: `cost` of `limit` units in the bucket (or the month's total) of that name."""

    kind: Literal["minute", "month"]
    name: str
    limit: int
    cost: int


class Reading(NamedTuple):
    """Where a meter stands: what remains, ms until it is as new, and ms until the cost fits (0: it did; `NEVER`)."""

    meter: Meter
    remaining: int
    reset_ms: int
    wait_ms: int


class Reserved(NamedTuple):
    """The answer to a reservation: all meters took their cost, or none did.

    `uncounted`: a month's total is not in Redis (yet, or any more); it has to be counted first, and `readings` is empty.
    """

    verdict: Literal["admitted", "refused", "uncounted"]
    readings: tuple[Reading, ...]


class Bucket(NamedTuple):
    """A bucket per minute as it stood at `at_ms`."""

    debt: int = 0
    at_ms: int = 0

    def leaked(self, *, limit: int, now_ms: int) -> Bucket:
        """The same bucket now. A clock that went back leaks nothing."""
        return Bucket(max(0, self.debt - max(0, now_ms - self.at_ms) * limit), now_ms)

    def wait_ms(self, *, limit: int, cost: int, now_ms: int) -> int:
        """Milliseconds until `cost` fits: 0 for now, `NEVER` for what is over the limit by itself."""
        if cost > limit:
            return NEVER
        over = self.leaked(limit=limit, now_ms=now_ms).debt + (cost - limit) * WINDOW_MS
        return max(0, -(-over // limit))

    def spent(self, *, limit: int, units: int, now_ms: int) -> Bucket:
        """After so many units more; a negative number gives back. It may run over: then what follows waits longer."""
        return Bucket(max(0, self.leaked(limit=limit, now_ms=now_ms).debt + units * WINDOW_MS), now_ms)

    def remaining(self, *, limit: int) -> int:
        """Units that would still fit."""
        return max(0, limit * WINDOW_MS - self.debt) // WINDOW_MS

    def reset_ms(self, *, limit: int) -> int:
        """Milliseconds until nothing is left in it."""
        return -(-self.debt // limit)
