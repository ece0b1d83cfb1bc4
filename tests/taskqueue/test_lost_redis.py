"""A Redis that is away, full, or has forgotten."""

from __future__ import annotations

import pytest
from redis import Redis

from taskqueue.async_client import AsyncQueue
from taskqueue.failures import QueueRefused, QueueUnavailable
from taskqueue.sync_client import Queue
from tests.taskqueue.turns import LEASE_S, delta, status, success, text_of, turn


async def test_a_redis_that_is_away_is_said_so(tmp_path: object) -> None:
    queue = AsyncQueue(f"unix://{tmp_path}/nobody.sock", "pool")
    with pytest.raises(QueueUnavailable):
        await queue.signals()
    await queue.aclose()


async def test_a_full_redis_refuses_and_changes_nothing(queue: AsyncQueue, redis: Redis) -> None:
    await queue.enqueue([turn("a")])
    (claimed,) = await queue.claim("w1", 1, lease_s=LEASE_S)
    redis.config_set("maxmemory", 1)
    try:
        for call in (
            queue.enqueue([turn("b")]),
            queue.emit("w1", [delta(claimed, "x", 1)]),
            queue.finish("w1", [success(claimed)]),
            queue.heartbeat(status("w1"), ["a"], lease_s=LEASE_S),
        ):
            with pytest.raises(QueueRefused, match="OOM"):
                await call
        with pytest.raises(QueueUnavailable, match="OOM"):
            Queue(redis, queue.pool).enqueue([turn("b")])
    finally:
        redis.config_set("maxmemory", 0)
    assert await queue.known(["a", "b"]) == [True, False]
    assert await queue.emit("w1", [delta(claimed, "x", 1)]) == []
    assert text_of(await queue.read_log("task-a")) == ['"x"']


async def test_a_task_that_redis_has_lost_begins_anew_behind_all_its_numbers(queue: AsyncQueue, redis: Redis) -> None:
    await queue.enqueue([turn("a"), turn("b")])
    (claimed,) = await queue.claim("w1", 1, lease_s=LEASE_S)
    await queue.emit("w1", [delta(claimed, "gone", 1)])
    redis.delete(*redis.keys(f"opsite:{{{queue.pool}}}:*a"))
    assert await queue.restart(["task-a", "task-b"]) == 1  # b is still there
    await queue.enqueue([turn("a")])
    events = await queue.read_log("task-a", after=3)
    assert [event.kind for event in events] == ["restart", "state"]
    assert events[1].seq == events[0].seq + 1
    (stop,) = await queue.emit("w1", [delta(claimed, "late", 1, nth=2)])
    assert (stop.turn, stop.reason) == ("a", "lost")
    again = [one for one in await queue.claim("w2", 2, lease_s=LEASE_S) if one.turn == "a"]
    assert (again[0].attempt, again[0].streamed) == (1, ())
