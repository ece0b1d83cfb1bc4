"""What may wait and what may run: the limits that the queue itself counts, on a real Redis."""

from __future__ import annotations

from redis import Redis

from taskqueue.async_client import AsyncQueue
from tests.taskqueue.turns import LEASE_S, success, turn


async def test_a_tenant_s_limit_counts_its_waiting_turns_only(queue: AsyncQueue) -> None:
    verdicts = await queue.enqueue(
        [turn("a", max_waiting=1), turn("b", max_waiting=1), turn("c", "bob", max_waiting=1)]
    )
    assert [answer.verdict for answer in verdicts] == ["accepted", "full", "accepted"]
    await queue.claim("w1", 4, lease_s=LEASE_S)
    assert [answer.verdict for answer in await queue.enqueue([turn("b", max_waiting=1)])] == ["accepted"]


async def test_a_refusal_tells_when_a_place_may_be_free(queue: AsyncQueue, redis: Redis) -> None:
    await queue.enqueue([turn("a"), turn("b")])
    now_ms = (await queue.signals()).now_ms
    for name in "ab":  # as if they had waited for 10 s
        redis.zadd(f"opsite:{{{queue.pool}}}:arrivals", {name: now_ms - 10_000})
    full, busy = await queue.enqueue([turn("c", max_waiting=2), turn("c", pool_max_waiting=2)])
    later_ms = (await queue.signals()).now_ms - now_ms
    assert (full.verdict, busy.verdict) == ("full", "busy")
    assert 5_000 <= full.wait_ms <= 5_001 + later_ms / 2  # two places in 10 s
    assert 10_000 <= busy.wait_ms <= 10_000 + later_ms  # by then the line has turned over
    assert await queue.known(["c"]) == [False]


async def test_a_pool_s_bound_leaves_places_for_others(queue: AsyncQueue) -> None:
    accepted = dict.fromkeys(("ann", "bob", "cyd"), 0)
    for tenant in accepted:
        answers = await queue.enqueue([turn(f"{tenant}{nth}", tenant, pool_max_waiting=100) for nth in range(120)])
        accepted[tenant] = sum(answer.verdict == "accepted" for answer in answers)
    assert accepted == {"ann": 80, "bob": 16, "cyd": 4}  # four times the places that were free, each time
    (swept,) = await queue.enqueue([turn("lost", "ann")])  # what was accepted once is never refused
    assert swept.verdict == "accepted"


async def test_a_tenant_at_its_running_limit_is_passed_over(queue: AsyncQueue) -> None:
    await queue.enqueue([turn(f"ann{nth}", max_running=2) for nth in range(5)])
    await queue.enqueue([turn(f"bob{nth}", "bob") for nth in range(2)])
    claimed = await queue.claim("w1", 8, lease_s=LEASE_S)
    assert sorted(turn.tenant for turn in claimed) == ["ann", "ann", "bob", "bob"]
    assert await queue.wait_for_work(timeout_s=0.01) is False  # what waits may not run: nobody is woken for it
    await queue.enqueue([turn("ann5", max_running=2)])
    assert await queue.wait_for_work(timeout_s=0.01) is False
    first, second = (turn for turn in claimed if turn.tenant == "ann")
    await queue.finish("w1", [success(first)])
    assert await queue.wait_for_work(timeout_s=1)
    assert len(await queue.claim("w3", 8, lease_s=0)) == 1
    assert await queue.reap() == 1  # a lease that lapses frees its place, too
    assert len(await queue.claim("w2", 8, lease_s=LEASE_S)) == 1
    await queue.release("w1", [second.turn])
    assert len(await queue.claim("w2", 8, lease_s=LEASE_S)) == 1
    await queue.enqueue([turn("ann6")])  # the limit was taken away
    assert len(await queue.claim("w2", 8, lease_s=LEASE_S)) == 4


async def test_time_at_the_running_limit_earns_no_credit(queue: AsyncQueue) -> None:
    await queue.enqueue([turn(f"ann{nth}", max_running=1, estimated_tokens=100) for nth in range(20)])
    await queue.enqueue([turn(f"bob{nth}", "bob", estimated_tokens=100) for nth in range(60)])
    held = await queue.claim("w1", 30, lease_s=LEASE_S)
    assert sum(turn.tenant == "ann" for turn in held) == 1
    await queue.enqueue([turn("ann20", estimated_tokens=100)])  # no limit any more
    claimed = await queue.claim("w1", 10, lease_s=LEASE_S)
    assert sum(turn.tenant == "ann" for turn in claimed) in (5, 6)  # not all ten
