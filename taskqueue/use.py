"""How much of their limits tenants and keys use now: turns that wait and run, pool by pool, and what was spent of the budget.

One round trip, and nothing is counted turn by turn. On Redis Cluster a client must split such a pipeline by slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from redis import Redis

from taskqueue import keys
from taskqueue.buckets import WINDOW_MS, Bucket, Meter
from taskqueue.failures import translated

CONTENDERS_MAX = 1000
"""Tenants with waiting turns that are looked at in one pool."""


class Standing(NamedTuple):
    """Turns of a tenant, or of an API key, in one pool."""

    waiting: int
    running: int


class Contention(NamedTuple):
    """One pool: how many turns run there, and which tenants have turns that wait and may be claimed."""

    running: int
    tenants: tuple[str, ...]


class Use(NamedTuple):
    """`standings` by pool and owner, `contention` by pool, and by a meter's name the units of it that are used.

    None: a month's total that is not counted in Redis (nothing was submitted within the last hour, or its data was lost).
    """

    standings: dict[tuple[str, str], Standing]
    contention: dict[str, Contention]
    spent: dict[str, int | None]


def read_use(redis: Redis, *, tenant: str, owners: Sequence[str], pools: Sequence[str], meters: Sequence[Meter]) -> Use:
    """The use by these owners (the tenant's id, its keys' ids) in these pools, and of these meters of the tenant's budget."""
    places = [(pool, owner) for pool in pools for owner in owners]
    budget = keys.budget(tenant)
    with translated():
        pipeline = redis.pipeline(transaction=False)
        pipeline.time()
        for meter in meters:
            pipeline.get(f"{budget}{meter.name}")
        for pool in pools:
            prefix = keys.prefix(pool)
            pipeline.zcard(f"{prefix}leases")
            pipeline.zrange(f"{prefix}active", 0, CONTENDERS_MAX - 1)
        for pool, owner in places:
            prefix = keys.prefix(pool)
            pipeline.zcard(f"{prefix}wait:{owner}")
            pipeline.zcard(f"{prefix}apart:{owner}")
            pipeline.scard(f"{prefix}running:{owner}")
        answers: list[Any] = pipeline.execute()
    (second, microsecond), *rest = answers
    now_ms = second * 1000 + microsecond // 1000
    stored, rest = rest[: len(meters)], rest[len(meters) :]
    of_pools, rest = rest[: 2 * len(pools)], rest[2 * len(pools) :]
    return Use(
        {
            place: Standing(waiting + apart, running)
            for place, waiting, apart, running in zip(places, rest[::3], rest[1::3], rest[2::3], strict=True)
        },
        {
            pool: Contention(running, tuple(one.decode() for one in waiting))
            for pool, running, waiting in zip(pools, of_pools[::2], of_pools[1::2], strict=True)
        },
        {meter.name: spent(meter, value, now_ms=now_ms) for meter, value in zip(meters, stored, strict=True)},
    )


def spent(meter: Meter, stored: bytes | None, *, now_ms: int) -> int | None:
    """Units that are used of a meter, from what lies in Redis: of a bucket per minute those that have not leaked away yet."""
    if meter.kind == "month":
        return None if stored is None else int(stored)
    if stored is None:
        return 0
    debt, at_ms = stored.split()
    return -(-Bucket(int(debt), int(at_ms)).leaked(limit=meter.limit, now_ms=now_ms).debt // WINDOW_MS)
