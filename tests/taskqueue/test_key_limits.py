"""What an API key may have waiting and running, and running limits that are edited while turns wait, on a real Redis."""

from __future__ import annotations

import json

from redis import Redis

from taskqueue.async_client import AsyncQueue
from taskqueue.messages import Submission
from tests.taskqueue.turns import LEASE_S, success, turn


def of(key: str, nth: int, **more: object) -> Submission:
    """The nth turn of one of Ann's keys."""
    return turn(f"{key}-{nth}", key=key, **more)


async def claimed(queue: AsyncQueue, slots: int = 8) -> list[str]:
    return [one.turn for one in await queue.claim("w1", slots, lease_s=LEASE_S)]


async def verdicts(queue: AsyncQueue, *submissions: Submission) -> list[str]:
    return [answer.verdict for answer in await queue.enqueue(submissions)]


async def test_a_key_s_waiting_limit_counts_its_own_waiting_turns(queue: AsyncQueue) -> None:
    few = [of("few", nth, key_max_waiting=2) for nth in range(4)]
    assert await verdicts(queue, *few[:3]) == ["accepted", "accepted", "key_full"]
    assert await verdicts(queue, of("other", 0), turn("keyless")) == ["accepted", "accepted"]
    assert await claimed(queue, 1) == ["few-0"]
    assert await verdicts(queue, few[2], few[3]) == ["accepted", "key_full"]
    await queue.cancel(["few-1", "few-2"])
    assert await verdicts(queue, few[3]) == ["accepted"]


async def test_the_tenant_s_limit_stands_over_its_keys(queue: AsyncQueue) -> None:
    asks = [of(key, nth, max_waiting=3, key_max_waiting=2) for nth in range(2) for key in ("a", "b")]
    assert await verdicts(queue, *asks) == ["accepted", "accepted", "accepted", "full"]


async def test_a_full_key_tells_when_a_place_may_be_free(queue: AsyncQueue, redis: Redis) -> None:
    await queue.enqueue([of("few", nth, key_max_waiting=2) for nth in range(2)] + [of("many", nth) for nth in range(9)])
    now_ms = (await queue.signals()).now_ms
    redis.zadd(f"opsite:{{{queue.pool}}}:arrivals", {"few-0": now_ms - 10_000})
    (refused,) = await queue.enqueue([of("few", 2, key_max_waiting=2)])
    later_ms = (await queue.signals()).now_ms - now_ms
    assert refused.verdict == "key_full"
    assert (
        5_000 <= refused.wait_ms <= 5_001 + later_ms / 2
    )  # two places in 10 s, whatever the tenant's other keys have waiting


async def test_a_key_at_its_running_limit_holds_up_no_other_key(queue: AsyncQueue) -> None:
    """Not even one whose turns would all come first."""
    await queue.enqueue([of("narrow", nth, priority=0, key_max_running=2) for nth in range(5)])
    await queue.enqueue([of("wide", nth) for nth in range(3)] + [turn("keyless")])
    assert sorted(await claimed(queue)) == ["keyless", "narrow-0", "narrow-1", "wide-0", "wide-1", "wide-2"]
    assert (await queue.signals()).held_back == 3


async def test_each_end_of_a_lease_lets_one_more_run(queue: AsyncQueue) -> None:
    await queue.enqueue([of("narrow", nth, key_max_running=1) for nth in range(6)])
    (first,) = await queue.claim("w1", 8, lease_s=LEASE_S)
    assert await queue.wait_for_work(timeout_s=0.01) is False  # what waits may not run: nobody is woken for it
    assert await queue.wait_for_work(timeout_s=0.01) is False
    await queue.finish("w1", [success(first)])
    assert await queue.wait_for_work(timeout_s=1)
    assert len(await queue.claim("w1", 8, lease_s=0)) == 1
    assert await queue.reap() == 1
    assert await claimed(queue) == ["narrow-1"]  # back at its old place
    await queue.release("w1", ["narrow-1"])
    assert await claimed(queue) == ["narrow-1"]
    await queue.cancel(["narrow-2"])
    assert await claimed(queue) == []
    assert await queue.release("w1", ["narrow-1"]) == 1
    await queue.cancel(["narrow-1"])
    assert await claimed(queue) == ["narrow-3"]


async def test_order_inside_a_key_is_kept(queue: AsyncQueue) -> None:
    """A later turn that must come first takes the free place of the one before it."""
    await queue.enqueue([of("narrow", 0, key_max_running=1), of("narrow", 1, key_max_running=1)])
    await queue.enqueue([of("narrow", 2, key_max_running=1, priority=0)])
    assert await claimed(queue) == ["narrow-2"]


async def test_what_is_held_back_is_passed_over_at_the_same_cost_however_much_it_is(
    redis: Redis, queue: AsyncQueue
) -> None:
    def calls() -> int:
        return sum(stats["calls"] for stats in redis.info("commandstats").values())

    costs = []
    for many in (10, 2000):
        await queue.enqueue([of(f"narrow{many}", nth, priority=0, key_max_running=1) for nth in range(many)])
        await queue.enqueue([of("wide", many)])
        await claimed(queue, 1)
        before = calls()
        assert await claimed(queue, 1) == [f"wide-{many}"]
        costs.append(calls() - before)
    assert costs[0] == costs[1]


async def test_an_edited_limit_of_a_tenant_holds_at_once(queue: AsyncQueue) -> None:
    await queue.enqueue([turn(f"t{nth}", max_running=1) for nth in range(6)])
    assert await claimed(queue) == ["t0"]
    while await queue.wait_for_work(timeout_s=0.01):
        pass
    assert await queue.limit({"ann": 3, "nobody here": 5}) == 1
    assert await queue.wait_for_work(timeout_s=1)  # somebody is woken, though nothing was enqueued
    assert await claimed(queue) == ["t1", "t2"]
    assert await queue.limit({"ann": 2}) == 1
    await queue.release("w1", ["t0"])
    assert await claimed(queue) == []  # what runs goes on, no more is begun
    assert await queue.limit({}) == 1
    assert await claimed(queue) == ["t0", "t3", "t4", "t5"]
    assert await queue.limit({}) == 0


async def test_an_edited_limit_of_a_key_holds_at_once(queue: AsyncQueue) -> None:
    await queue.enqueue([of("k", nth) for nth in range(6)] + [of("other", 0)])
    assert await claimed(queue, 2) == ["k-0", "k-1"]
    assert await queue.limit({"k": 2}) == 1  # what runs already counts
    assert await claimed(queue) == ["other-0"]
    assert (await queue.signals()).held_back == 4
    assert await queue.limit({"k": 3}) == 1
    assert await claimed(queue) == ["k-2"]
    assert await queue.limit({}) == 1
    assert await claimed(queue) == ["k-3", "k-4", "k-5"]


async def test_the_next_attempt_is_told_with_its_reason(queue: AsyncQueue) -> None:
    await queue.enqueue([turn("a")])
    await queue.claim("w1", 1, lease_s=0)
    await queue.reap()
    await queue.claim("w2", 1, lease_s=LEASE_S)
    await queue.release("w2", ["a"])
    (third,) = await queue.claim("w3", 1, lease_s=LEASE_S)
    log = await queue.read_log("task-a")
    assert [(event.kind, json.loads(event.data)) for event in log] == [
        ("state", {"state": "queued"}),
        ("state", {"state": "running", "attempt": 1}),
        ("state", {"state": "queued"}),
        ("state", {"state": "running", "attempt": 2}),
        ("attempt", {"attempt": 2, "reason": "worker_lost"}),
        ("state", {"state": "queued"}),
        ("state", {"state": "running", "attempt": 3}),
        ("attempt", {"attempt": 3, "reason": "handed_over"}),
    ]
    assert third.seq == len(log)


async def test_suspects_count_for_their_key_and_pass_over_one_whose_key_is_at_its_limit(queue: AsyncQueue) -> None:
    """Turns whose worker was lost wait apart (tests/taskqueue/test_suspects.py), under the same limits."""
    await queue.enqueue([of("narrow", 0, key_max_running=2), of("narrow", 1, key_max_running=2), of("wide", 0)])
    assert len(await claimed(queue)) == 3
    await queue.abandon("w1")
    assert await queue.reap(max_losses=1) == 3
    await queue.limit({"narrow": 1})
    (suspect,) = await queue.claim("w2", 1, lease_s=LEASE_S)
    assert suspect.turn == "narrow-0"
    await queue.enqueue([of("narrow", 2, priority=0, key_max_running=1)])
    assert (await queue.signals()).held_back == 2
    assert [one.turn for one in await queue.claim("w3", 8, lease_s=LEASE_S)] == ["wide-0"]
    await queue.finish("w2", [success(suspect)])
    (following,) = await queue.claim("w4", 8, lease_s=LEASE_S)
    assert following.turn.startswith("narrow")
    assert await queue.claim("w5", 8, lease_s=LEASE_S) == []  # its key runs one
