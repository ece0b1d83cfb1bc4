"""What the queue counts for scaling: arrivals, and tokens that wait; for many pools at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from taskqueue import calls, keys
from taskqueue.async_client import AsyncQueue
from taskqueue.connections import connect
from taskqueue.failures import QueueUnavailable
from taskqueue.messages import PoolSignals
from taskqueue.outlook import Outlook
from taskqueue.pools import AT_ONCE, Pools
from taskqueue.sync_client import Queue, foretell
from tests.taskqueue.turns import LEASE_S, delta, success, turn


async def test_what_waits_is_summed_and_what_comes_back_has_not_arrived_anew(queue: AsyncQueue) -> None:
    await queue.enqueue([turn("a", estimated_tokens=100), turn("b", "bob", estimated_tokens=30)])
    await queue.enqueue([turn("a", estimated_tokens=100)])  # known
    signals = await queue.signals()
    assert (signals.waiting_tokens, signals.arrived, signals.arrived_tokens) == (130, 2, 130)
    one, other = await queue.claim("w1", 2, lease_s=LEASE_S)
    assert (await queue.signals()).waiting_tokens == 0
    await queue.emit("w1", [delta(one, "x", 1)])
    await queue.release("w1", [one.turn])
    signals = await queue.signals()
    assert (signals.waiting_tokens, signals.arrived) == (100 if one.turn == "a" else 30, 2)
    await queue.cancel([one.turn])
    await queue.finish("w1", [success(other, tokens=5)])
    signals = await queue.signals()
    assert (signals.waiting_tokens, signals.arrived, signals.arrived_tokens) == (0, 2, 130)


async def test_what_is_not_recorded_yet_is_counted_with_its_age(queue: AsyncQueue) -> None:
    signals = await queue.signals()
    assert (signals.unrecorded, signals.oldest_record_s) == (0, 0.0)
    await queue.enqueue([turn("a"), turn("b")])
    (claimed, _) = await queue.claim("w1", 2, lease_s=LEASE_S)
    await queue.finish("w1", [success(claimed)])
    assert (await queue.signals()).unrecorded == 3
    while (signals := await queue.signals()).oldest_record_s < 0.01:
        pass
    await queue.acknowledge(await queue.read_records(count=2))
    assert (await queue.signals()).unrecorded == 1
    await queue.acknowledge(await queue.read_records(count=2))
    signals = await queue.signals()
    assert (signals.unrecorded, signals.oldest_record_s) == (0, 0.0)


async def test_how_long_an_outlook_still_holds(queue: AsyncQueue, redis: Redis) -> None:
    assert (await queue.signals()).foretold_ms == 0
    foretell(redis, {queue.pool: Outlook()}, hold_s=60.0)
    assert 30_000 < (await queue.signals()).foretold_ms <= 60_000


async def test_a_redis_that_lost_its_data_counts_from_the_beginning(queue: AsyncQueue, redis: Redis) -> None:
    await queue.enqueue([turn("a", estimated_tokens=100)])
    redis.delete(*redis.keys(f"{keys.prefix(queue.pool)}*"))
    assert (await queue.signals()).arrived == 0
    await queue.enqueue([turn("a", estimated_tokens=100)])  # the sweep brings it back
    signals = await queue.signals()
    assert (signals.waiting_tokens, signals.arrived) == (100, 1)


async def test_a_sum_that_keys_deleted_by_hand_have_spoilt_is_right_when_nothing_waits(
    queue: AsyncQueue, redis: Redis
) -> None:
    await queue.enqueue([turn("a"), turn("b", "bob", estimated_tokens=7)])
    for name in ("turn:a", "wait:ann", "active"):
        redis.delete(f"{keys.prefix(queue.pool)}{name}")
    redis.zrem(f"{keys.prefix(queue.pool)}arrivals", "a")
    await queue.cancel(["b"])
    assert (await queue.signals()).waiting_tokens == 0
    await queue.enqueue([turn("c", estimated_tokens=7)])
    assert (await queue.signals()).waiting_tokens == 7


@pytest.fixture
def many(redis: Redis, pool: str) -> Iterator[list[str]]:
    """The names of more pools than fit one round trip."""
    pools = [f"{pool}-{number}" for number in range(AT_ONCE + 1)]
    yield pools
    if names := redis.keys(f"opsite:{{{pool}-*"):
        redis.delete(*names)


def test_many_pools_are_read_in_few_round_trips_and_told_their_limits(redis: Redis, many: list[str]) -> None:
    for number, name in enumerate(many[:3]):
        Queue(redis, name).enqueue([turn(f"{nth}", max_running=9) for nth in range(number + 1)])
    pools = Pools(redis)
    pools.signals(many, {"ann": 1})  # Redis has the scripts now
    before = pools.round_trips
    seen = pools.signals(many, {"ann": 1})
    assert pools.round_trips - before == 2
    assert [seen[name].waiting for name in many[:4]] == [1, 2, 3, 0]  # type: ignore[union-attr]
    assert [seen[name].held_back for name in many[:4]] == [0, 1, 2, 0]  # type: ignore[union-attr]


def test_who_only_looks_reads_the_same(redis: Redis, many: list[str]) -> None:
    Queue(redis, many[0]).enqueue([turn("a"), turn("b")])
    pools = Pools(redis)
    assert [one.waiting for one in pools.read(many[:2]).values()] == [2, 0]  # type: ignore[union-attr]
    before = pools.round_trips
    pools.read(many)
    assert pools.round_trips - before == 2


def test_one_pools_trouble_is_its_own(redis: Redis, many: list[str]) -> None:
    redis.set(f"{keys.prefix(many[1])}arrivals", "no line")
    seen = Pools(redis).signals(many[:3], {})
    assert [isinstance(seen[name], PoolSignals) for name in many[:3]] == [True, False, True]
    assert "WRONGTYPE" in str(seen[many[1]])


def test_a_name_that_no_queue_can_have_is_that_pools_answer(redis: Redis, many: list[str]) -> None:
    pools, bad = Pools(redis), "Verse {1}"
    seen = pools.signals([many[0], bad, many[1]], {})
    assert [type(one) for one in seen.values()] == [PoolSignals, keys.BadPoolName, PoolSignals]
    reap = calls.reap(max_attempts=1, max_losses=1, lease_s=1)
    assert [type(one) for one in pools.reap({bad: reap, many[0]: reap}).values()] == [keys.BadPoolName, int]


def test_scripts_that_redis_has_lost_are_brought_again(redis: Redis, many: list[str]) -> None:
    redis.script_flush()
    pools = Pools(redis)
    assert all(isinstance(one, PoolSignals) for one in pools.signals(many[:2], {}).values())
    assert pools.round_trips == 2


def test_a_redis_that_is_away_is_each_pools_answer(tmp_path: object) -> None:
    client = connect(f"unix://{tmp_path}/nobody.sock")
    pools = Pools(client)
    assert {type(one) for one in pools.signals(["a", "b"], {}).values()} == {QueueUnavailable}
    reap = calls.reap(max_attempts=1, max_losses=1, lease_s=1)
    assert {type(one) for one in pools.reap({"a": reap}).values()} == {QueueUnavailable}
    client.close()


def test_a_connection_that_was_hung_up_on_is_made_again(redis: Redis, redis_url: str, many: list[str]) -> None:
    client = connect(redis_url)
    assert isinstance(Pools(client).signals(many[:1], {})[many[0]], PoolSignals)
    redis.client_kill_filter(_id=client.client_id())
    assert isinstance(Pools(client).signals(many[:1], {})[many[0]], PoolSignals)
    client.close()


async def test_leases_of_many_pools_are_looked_after_at_once(redis: Redis, many: list[str]) -> None:
    for name in many[:2]:
        queue = Queue(redis, name)
        queue.enqueue([turn("a")])
        queue.claim("w1", 1, lease_s=0)
    reap = calls.reap(max_attempts=3, max_losses=2, lease_s=0)
    assert Pools(redis).reap(dict.fromkeys(many[:2], reap)) == {many[0]: 1, many[1]: 1}
