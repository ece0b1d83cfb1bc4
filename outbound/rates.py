"""How often a tenant may call a host: a leaky bucket for each of both, in this process.

Kept here and not in Redis, since it protects the other side from a loop that went wild, and bills nobody: with several processes it
holds for each.
"""

from __future__ import annotations

from collections import OrderedDict

from outbound.failures import RateLimited
from taskqueue.buckets import Bucket

REMEMBERED = 10_000
"""Pairs of tenant and host at most; the one that called the longest ago is forgotten first."""


class Rates:
    """The buckets. `per_minute`: calls of a tenant to a host; 0 is no limit."""

    def __init__(self, *, per_minute: int) -> None:
        self._per_minute = per_minute
        self._buckets: OrderedDict[tuple[str, str], Bucket] = OrderedDict()

    def take(self, *, tenant: str, host: str, now_s: float) -> None:
        """Count a call, or raise RateLimited."""
        if self._per_minute <= 0:
            return
        now_ms = int(now_s * 1000)
        bucket = self._buckets.get((tenant, host), Bucket())
        if wait_ms := bucket.wait_ms(limit=self._per_minute, cost=1, now_ms=now_ms):
            raise RateLimited(host, retry_after_s=wait_ms / 1000)
        self._buckets[tenant, host] = bucket.spent(limit=self._per_minute, units=1, now_ms=now_ms)
        self._buckets.move_to_end((tenant, host))
        while len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
