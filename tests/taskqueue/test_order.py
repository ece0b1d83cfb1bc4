"""Whose turn comes next, and what a turn costs its tenant, on a real Redis."""

from __future__ import annotations

from redis import Redis

from taskqueue.async_client import AsyncQueue
from tests.taskqueue.turns import LEASE_S, delta, success, turn


async def test_order_within_a_tenant(queue: AsyncQueue) -> None:
    later = (await queue.signals()).now_ms + 60_000
    await queue.enqueue([turn("third"), turn("second", deadline_ms=later), turn("first", priority=0)])
    claimed = [(await queue.claim("w1", 1, lease_s=LEASE_S))[0].turn for _ in range(3)]
    assert claimed == ["first", "second", "third"]


async def test_tenants_share_by_weight(queue: AsyncQueue) -> None:
    await queue.enqueue([turn(f"ann{i}", "ann", estimated_tokens=100) for i in range(60)])
    await queue.enqueue([turn(f"bob{i}", "bob", weight=2.0, estimated_tokens=100) for i in range(60)])
    claimed = await queue.claim("w1", 30, lease_s=LEASE_S)
    shares = [sum(turn.tenant == tenant for turn in claimed) for tenant in ("ann", "bob")]
    assert shares == [10, 20]


async def test_a_tenant_back_from_idle_earns_no_credit(queue: AsyncQueue) -> None:
    await queue.enqueue([turn(f"ann{i}", "ann", estimated_tokens=100) for i in range(40)])
    await queue.claim("w1", 20, lease_s=LEASE_S)
    await queue.enqueue([turn(f"bob{i}", "bob", estimated_tokens=100) for i in range(40)])
    claimed = await queue.claim("w1", 10, lease_s=LEASE_S)
    assert sum(turn.tenant == "bob" for turn in claimed) in (5, 6)  # not all ten


async def test_what_was_served_corrects_what_was_estimated(queue: AsyncQueue) -> None:
    await queue.enqueue([turn("a", "ann", estimated_tokens=1000), turn("b", "bob", estimated_tokens=100)])
    first = await queue.claim("w1", 2, lease_s=LEASE_S)
    await queue.finish("w1", [success(claimed, tokens=10) for claimed in first])
    await queue.enqueue([turn(f"{t}{i}", t, estimated_tokens=100) for i in range(4) for t in ("ann", "bob")])
    claimed = await queue.claim("w1", 4, lease_s=LEASE_S)
    assert sum(turn.tenant == "ann" for turn in claimed) == 2


async def test_a_turn_that_the_queue_ends_costs_what_its_log_holds(queue: AsyncQueue, redis: Redis) -> None:
    await queue.enqueue([turn("a", estimated_tokens=1000, weight=2.0)])
    for tokens in ((1, 2), (3,)):
        (claimed,) = await queue.claim("w1", 1, lease_s=0)
        assert float(redis.hget(f"opsite:{{{queue.pool}}}:service", "ann")) == 500
        await queue.emit("w1", [delta(claimed, "x", *tokens)])
        await queue.reap(max_attempts=2)
        assert float(redis.hget(f"opsite:{{{queue.pool}}}:service", "ann")) == len((*claimed.streamed, *tokens)) / 2


async def test_a_turn_that_comes_back_earns_its_tenant_no_credit(queue: AsyncQueue) -> None:
    """It ran while the others waited: its tenant is next, and then one of equals."""
    await queue.enqueue([turn("long", "ann", estimated_tokens=100)])
    await queue.claim("w1", 1, lease_s=LEASE_S)
    await queue.enqueue([turn(f"bob{i}", "bob", estimated_tokens=100) for i in range(40)])
    await queue.claim("w2", 20, lease_s=LEASE_S)
    await queue.release("w1", ["long"])
    await queue.enqueue([turn(f"ann{i}", "ann", estimated_tokens=100) for i in range(40)])
    claimed = await queue.claim("w2", 10, lease_s=LEASE_S)
    assert sum(turn.tenant == "ann" for turn in claimed) == 5
