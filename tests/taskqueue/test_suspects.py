"""A turn that kills its workers is found and ends; nobody is condemned for what another may have done. On a real Redis.

Workers here die without a word: `lost` has the leases of a worker lapse, whose last beat is long ago (it never beat).
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from redis import Redis

from taskqueue import keys
from taskqueue.async_client import AsyncQueue
from tests.taskqueue.turns import LEASE_S, success, turn

POISON = "p"


async def lost(queue: AsyncQueue, worker: str) -> None:
    """The worker dies, and is looked for."""
    await queue.abandon(worker)
    await queue.reap()


async def ends(queue: AsyncQueue) -> dict[str, str]:
    """Outcomes and errors by turn."""
    records = [record for record in await queue.read_records(count=10_000) if record.kind == "finished"]
    return {record.turn: record.error.code if record.error else str(record.state) for record in records}


async def claimed(queue: AsyncQueue, worker: str, slots: int = 64) -> list[str]:
    return sorted(turn.turn for turn in await queue.claim(worker, slots, lease_s=LEASE_S))


async def test_alone_on_two_workers_that_were_lost_it_ends(queue: AsyncQueue) -> None:
    await queue.enqueue([turn(POISON)])
    assert await claimed(queue, "w1") == [POISON]
    await lost(queue, "w1")
    assert await ends(queue) == {}
    assert await claimed(queue, "w2") == [POISON]
    await lost(queue, "w2")
    assert await ends(queue) == {POISON: "poison"}
    outcome = (await queue.read_log(f"task-{POISON}"))[-1]
    assert "2 workers were lost while they ran this task, the last one while it ran nothing else." in outcome.data
    assert await claimed(queue, "w3") == []


@pytest.mark.parametrize(("slots", "losses"), [(64, 3), (8, 2)])
async def test_among_innocents_of_two_tenants_it_alone_ends(queue: AsyncQueue, slots: int, losses: int) -> None:
    """Three workers, eight innocents, in whose company it is lost, or not. Whoever holds it dies and comes back as another."""
    innocents = [turn(f"{tenant}{nth}", tenant) for tenant in ("ann", "bob") for nth in range(4)]
    await queue.enqueue([*innocents[:4], turn(POISON), *innocents[4:]])
    fleet, dead = [f"w{nth}" for nth in range(3)], 0
    while len(await ends(queue)) < 9:
        for place, worker in enumerate(fleet):
            held = await queue.claim(worker, slots, lease_s=LEASE_S)
            if any(one.turn == POISON for one in held):
                await lost(queue, worker)
                dead += 1
                fleet[place] = f"w{dead + 2}"
            else:
                await queue.finish(worker, [success(one) for one in held])
    assert await ends(queue) == {one.turn: "succeeded" for one in innocents} | {POISON: "poison"}
    assert dead == losses


async def test_many_poisons_condemn_none_of_another_tenant(queue: AsyncQueue) -> None:
    """Each company of the innocent holds a fresh poison: it is lost three times with them, and was the cause of none."""
    await queue.enqueue([turn("innocent", "bob")])
    for nth in range(3):
        await queue.enqueue([turn(f"p{nth}", "ann")])
        assert await claimed(queue, f"w{nth}") == ["innocent", f"p{nth}"]
        await lost(queue, f"w{nth}")
        assert await queue.cancel([f"p{nth}"]) == ["ended"]
    await queue.enqueue([turn("p3", "ann")])
    (alone,) = await queue.claim("w3", 64, lease_s=LEASE_S)
    assert alone.turn == "innocent"
    assert await claimed(queue, "w3") == []
    await queue.finish("w3", [success(alone)])
    assert await claimed(queue, "w3") == ["p3"]
    assert (await ends(queue))["innocent"] == "succeeded"


async def test_a_worker_gets_one_suspect_at_a_time(queue: AsyncQueue) -> None:
    await suspects(queue, "ab")
    await queue.enqueue([turn("fresh")])
    held = await queue.claim("w3", 64, lease_s=LEASE_S)
    assert [one.turn for one in held] == ["a", "fresh"]
    assert await claimed(queue, "w3") == []
    await queue.finish("w3", [success(held[0])])
    assert await claimed(queue, "w3") == ["b"]


async def test_for_one_that_must_be_alone_a_worker_clears_itself(queue: AsyncQueue) -> None:
    await queue.enqueue([turn("x"), turn("y")])
    (first,) = await queue.claim("w4", 1, lease_s=LEASE_S)
    assert await claimed(queue, "w5", 1) == ["y"]
    await suspects(queue, "ab")
    await queue.enqueue([turn("z")])
    assert await claimed(queue, "w3") == ["a", "z"]
    await lost(queue, "w3")
    assert await claimed(queue, "w5") == ["b", "z"]
    assert await claimed(queue, "w4") == []  # it clears itself of x, for a
    await queue.enqueue([turn("z2")])
    assert await claimed(queue, "w4") == []
    assert await claimed(queue, "w5") == ["z2"]  # one worker is enough: all the others go on
    await queue.finish("w4", [success(first)])
    assert await claimed(queue, "w4") == ["a"]
    await queue.enqueue([turn("z3")])
    assert await claimed(queue, "w4") == []
    await lost(queue, "w4")
    assert await ends(queue) == {"x": "succeeded", "a": "poison"}


async def test_one_worker_at_a_time_runs_a_suspect_alone(queue: AsyncQueue) -> None:
    """The others of the pool go on with what is no suspect, though they hold nothing."""
    await suspects(queue, "ab")
    for worker, name in (("w3", "a"), ("w4", "b")):
        await queue.enqueue([turn(f"with {name}")])
        assert await claimed(queue, worker) == [name, f"with {name}"]
        await lost(queue, worker)
        await queue.cancel([f"with {name}"])
    (first,) = await queue.claim("w5", 64, lease_s=LEASE_S)
    assert await claimed(queue, "w6") == []
    await queue.enqueue([turn("fresh", "bob")])
    assert await claimed(queue, "w6") == ["fresh"]
    await queue.finish("w5", [success(first)])
    (second,) = await claimed(queue, "w5")
    assert {first.turn, second} == {"a", "b"}


async def test_suspects_count_in_what_may_wait(queue: AsyncQueue) -> None:
    await suspects(queue, "ab")
    (full,) = await queue.enqueue([turn("c", max_waiting=2)])
    assert (full.verdict, full.waiting) == ("full", 2)
    (busy,) = await queue.enqueue([turn("c", pool_max_waiting=2)])
    assert busy.verdict == "busy"


async def test_a_worker_that_dies_while_it_clears_itself_is_replaced(queue: AsyncQueue) -> None:
    await queue.enqueue([turn("x"), turn("y")])
    for worker, name in (("w4", "x"), ("w5", "y")):
        assert await claimed(queue, worker, 1) == [name]
    await alone(queue, "a")
    assert await claimed(queue, "w4") == []
    await lost(queue, "w4")
    assert await claimed(queue, "w5") == []
    assert await queue.release("w5", ["y"]) == 1
    assert await claimed(queue, "w5") == ["a"]


async def test_suspects_keep_to_limits_deadlines_and_cancels(queue: AsyncQueue, redis: Redis) -> None:
    later = (await queue.signals()).now_ms + 60_000
    await queue.enqueue([turn(name, max_running=1, deadline_ms=later) for name in "abcd"])
    prefix = keys.prefix(queue.pool)
    redis.delete(f"{prefix}max_running")  # for the two losses only
    for worker in ("w1", "w2"):
        assert await claimed(queue, worker) == ["a", "b", "c", "d"]
        await lost(queue, worker)
    redis.hset(f"{prefix}max_running", "ann", 1)
    assert len(await queue.claim("w3", 1, lease_s=LEASE_S)) == 1
    assert await claimed(queue, "w4") == []
    signals = await queue.signals()
    assert (signals.waiting, signals.running, signals.held_back) == (3, 1, 3)
    assert await queue.cancel(["d", "a"]) == ["ended", "stopping"]
    redis.zadd(f"{prefix}deadlines", {"b": 1})  # as if it had passed
    redis.hset(f"{prefix}turn:c", "deadline", 1)
    assert await queue.reap() == 1
    await queue.release("w3", ["a"])
    assert await claimed(queue, "w4") == []
    assert await ends(queue) == {"d": "cancelled", "b": "expired", "a": "cancelled", "c": "expired"}
    left = {name.decode().removeprefix(prefix) for name in redis.keys(f"{prefix}*")}
    assert not {name for name in left if name.startswith(("apart", "wards", "wait", "held", "running"))}


async def test_a_suspect_is_charged_and_comes_when_its_tenant_does(queue: AsyncQueue) -> None:
    """The other tenant waits, too: the suspect's does not jump the line, and pays as for any turn."""
    await suspects(queue, "ab")
    await queue.enqueue([turn(f"bob{nth}", "bob", estimated_tokens=100) for nth in range(9)])
    order = [(await queue.claim(f"v{nth}", 1, lease_s=LEASE_S))[0].turn for nth in range(5)]
    assert order[0] in {"a", "bob0"}
    assert order.index("b") - order.index("a") in {3, 4}  # the estimate of a is 256, and one of bob's is 100


async def test_a_drained_suspect_stays_one(queue: AsyncQueue) -> None:
    await suspects(queue, "ab")
    for worker in ("w3", "w4", "w5"):
        assert await claimed(queue, worker) == ["a"]
        assert await queue.release(worker, ["a"]) == 1
    assert await claimed(queue, "w6") == ["a"]


async def suspects(queue: AsyncQueue, names: Iterable[str]) -> None:
    """Turns that were lost together twice."""
    await queue.enqueue([turn(name) for name in names])
    for worker in ("w1", "w2"):
        assert await claimed(queue, worker) == sorted(names)
        await lost(queue, worker)


async def alone(queue: AsyncQueue, name: str) -> None:
    """A turn that was lost three times in company: it runs with nothing else now."""
    await queue.enqueue([turn(name)])
    for nth in range(3):
        await queue.enqueue([turn(f"company{nth}")])
        assert await claimed(queue, f"w{nth}") == [name, f"company{nth}"]
        await lost(queue, f"w{nth}")
        await queue.cancel([f"company{nth}"])
