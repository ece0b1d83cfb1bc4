"""What counts against a turn when its lease lapses, and what is nobody's fault. On a real Redis."""

from __future__ import annotations

import pytest
from redis import Redis

from taskqueue import keys
from taskqueue.async_client import AsyncQueue
from taskqueue.failures import QueueUnavailable
from tests.taskqueue.turns import LEASE_S, status, turn


async def counts(queue: AsyncQueue, redis: Redis, name: str) -> tuple[int, int]:
    """Lapses while the worker was well, and losses."""
    failures, losses = redis.hmget(f"{keys.prefix(queue.pool)}turn:{name}", "failures", "losses")
    return int(failures or 0), int(losses or 0)


def away(queue: AsyncQueue, redis: Redis, for_s: float) -> None:
    """As if Redis had been away for so long: nobody looked meanwhile, and nobody could beat."""
    prefix = keys.prefix(queue.pool)
    redis.incrby(f"{prefix}looked", -round(for_s * 1000))
    for name in ("leases", "workers"):
        for member, _ in redis.zscan_iter(f"{prefix}{name}"):
            redis.zincrby(f"{prefix}{name}", -for_s * 1000, member)


async def test_a_worker_that_beats_has_lost_nothing(queue: AsyncQueue, redis: Redis) -> None:
    """The claim's answer was lost on the way: the worker does not know of the turn, and will not name it."""
    await queue.enqueue([turn("a")])
    await queue.claim("w1", 1, lease_s=0)
    await queue.heartbeat(status("w1"), [], lease_s=LEASE_S)
    assert await queue.reap(max_losses=1) == 1
    assert await counts(queue, redis, "a") == (1, 0)


async def test_a_lost_worker_loses_all_at_once(queue: AsyncQueue, redis: Redis) -> None:
    """What it claimed after its last beat lapses later, but would find itself alone then."""
    await queue.enqueue([turn("a"), turn("b")])
    await queue.claim("w1", 1, lease_s=0)
    await queue.claim("w1", 1, lease_s=LEASE_S)
    assert await queue.reap(max_losses=1) == 2
    assert [await counts(queue, redis, name) for name in "ab"] == [(0, 1), (0, 1)]
    assert (await queue.signals()).waiting == 2


async def test_drains_count_for_nothing(queue: AsyncQueue, redis: Redis) -> None:
    await queue.enqueue([turn("a")])
    for nth in range(20):
        assert len(await queue.claim(f"w{nth}", 1, lease_s=LEASE_S)) == 1
        await queue.release(f"w{nth}", ["a"])
        await queue.leave(f"w{nth}")
        assert await queue.reap(max_attempts=1, max_losses=1) == 0
    assert await counts(queue, redis, "a") == (0, 0)


async def test_what_staff_kills_counts_for_nothing(queue: AsyncQueue, redis: Redis) -> None:
    """The mark stands before the kill, and the next look gives the turns back at once."""
    await queue.enqueue([turn("a")])
    for nth in range(5):
        assert len(await queue.claim(f"w{nth}", 1, lease_s=LEASE_S)) == 1
        await queue.heartbeat(status(f"w{nth}"), ["a"], lease_s=LEASE_S)
        assert await queue.dismiss(f"w{nth}") == 1
        assert await queue.reap(max_losses=1, lease_s=LEASE_S) == 0  # it lives yet
        assert await queue.abandon(f"w{nth}") == 1
        assert await queue.reap(max_losses=1, lease_s=LEASE_S) == 1
    assert await counts(queue, redis, "a") == (0, 0)
    await queue.claim("w5", 1, lease_s=LEASE_S)
    await queue.abandon("w5")
    await queue.reap(max_losses=2, lease_s=LEASE_S)
    assert await counts(queue, redis, "a") == (0, 1)


async def test_a_suspect_stays_one_when_staff_kills_its_worker(queue: AsyncQueue, redis: Redis) -> None:
    await queue.enqueue([turn("a"), turn("b")])
    for worker in ("w1", "w2"):
        await queue.claim(worker, 2, lease_s=LEASE_S)
        await queue.abandon(worker)
        await queue.reap(max_losses=2, lease_s=LEASE_S)
    assert len(await queue.claim("w3", 2, lease_s=LEASE_S)) == 1
    await queue.dismiss("w3")
    await queue.abandon("w3")
    assert await queue.reap(max_losses=2, lease_s=LEASE_S) == 1
    assert [await counts(queue, redis, name) for name in "ab"] == [(0, 2), (0, 2)]
    assert len(await queue.claim("w4", 2, lease_s=LEASE_S)) == 1


async def test_an_absence_of_redis_is_nobodys_fault(queue: AsyncQueue, redis: Redis) -> None:
    """Nothing moves at the first look after it; then each worker has a lease's time to come back."""
    await queue.enqueue([turn("a"), turn("b")])
    for worker in ("w1", "w2"):
        await queue.heartbeat(status(worker), [], lease_s=5)
        await queue.claim(worker, 1, lease_s=5)
    assert await queue.reap(lease_s=5) == 0
    away(queue, redis, 8)
    for _ in range(2):
        assert await queue.reap(max_attempts=1, max_losses=1, lease_s=5) == 0
    await queue.heartbeat(status("w1"), ["a"], lease_s=5)
    redis.zadd(f"{keys.prefix(queue.pool)}leases", {"b": 1})  # that time is over, and w2 did not come back
    assert await queue.reap(lease_s=5) == 1
    assert [await counts(queue, redis, name) for name in "ab"] == [(0, 0), (0, 1)]


async def test_a_short_pause_of_who_looks_delays_nothing(queue: AsyncQueue, redis: Redis) -> None:
    await queue.enqueue([turn("a")])
    await queue.claim("w1", 1, lease_s=5)
    await queue.reap(lease_s=5)
    redis.incrby(f"{keys.prefix(queue.pool)}looked", -900)
    redis.zadd(f"{keys.prefix(queue.pool)}leases", {"a": 1})
    assert await queue.reap(lease_s=5) == 1


async def test_a_redis_that_takes_no_beat_takes_no_look(queue: AsyncQueue, redis: Redis) -> None:
    """A full one: leases lapse as nobody can renew them, so that nobody may judge them either."""
    await queue.enqueue([turn("a")])
    await queue.claim("w1", 1, lease_s=0)
    before = redis.config_get("maxmemory")["maxmemory"]
    redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(QueueUnavailable):
            await queue.heartbeat(status("w1"), ["a"], lease_s=5)
        with pytest.raises(QueueUnavailable):
            await queue.reap()
    finally:
        redis.config_set("maxmemory", before)
    assert await counts(queue, redis, "a") == (0, 0)
