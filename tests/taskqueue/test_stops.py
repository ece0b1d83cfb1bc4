"""What ends a turn before its worker does: cancels and deadlines, on a real Redis."""

from __future__ import annotations

from redis import Redis

from taskqueue.async_client import AsyncQueue
from taskqueue.messages import Finish
from tests.taskqueue.turns import LEASE_S, status, success, turn


async def test_cancel_waiting_and_running(queue: AsyncQueue) -> None:
    await queue.enqueue([turn("a"), turn("b")])
    (running,) = await queue.claim("w1", 1, lease_s=LEASE_S)
    assert await queue.cancel(["a", "b", "c"]) == ["stopping", "ended", "unknown"]
    stops = await queue.heartbeat(status("w1"), ["a"], lease_s=LEASE_S)
    assert [(stop.turn, stop.reason) for stop in stops] == [("a", "cancelled")]
    done = success(running)
    assert (
        await queue.finish("w1", [Finish(turn="a", task=done.task, attempt=1, seq=done.seq, state="cancelled")]) == []
    )
    assert await queue.heartbeat(status("w1"), [], lease_s=LEASE_S) == []
    signals = await queue.signals()
    assert (signals.waiting, signals.running) == (0, 0)


async def test_a_cancel_survives_the_worker_that_should_honour_it(queue: AsyncQueue) -> None:
    await queue.enqueue([turn("a"), turn("b")])
    await queue.claim("w1", 2, lease_s=0)
    await queue.cancel(["a", "b"])
    await queue.release("w1", ["b"])
    await queue.reap()
    ended = {record.turn: record.state for record in await queue.read_records() if record.kind == "finished"}
    assert ended == {"a": "cancelled", "b": "cancelled"}


async def test_a_cancel_survives_a_worker_that_left_with_its_turn(queue: AsyncQueue) -> None:
    await queue.enqueue([turn("a")])
    await queue.claim("w1", 1, lease_s=0)
    assert await queue.cancel(["a"]) == ["stopping"]
    await queue.leave("w1")
    await queue.reap()
    assert await queue.claim("w2", 1, lease_s=LEASE_S) == []
    ended = {record.turn: record.state for record in await queue.read_records() if record.kind == "finished"}
    assert ended == {"a": "cancelled"}


async def test_deadlines(queue: AsyncQueue) -> None:
    past = (await queue.signals()).now_ms - 1
    await queue.enqueue(
        [turn("a", priority=0), turn("waiting", deadline_ms=past), turn("running", deadline_ms=past + 60_000)]
    )
    assert await queue.reap() == 1
    claimed = await queue.claim("w1", 4, lease_s=LEASE_S)
    assert {turn.turn for turn in claimed} == {"a", "running"}
    await queue.enqueue([turn("late", deadline_ms=past)])
    assert await queue.claim("w1", 4, lease_s=LEASE_S) == []  # a claim never hands out what has expired
    ended = {record.turn: record.state for record in await queue.read_records() if record.kind == "finished"}
    assert ended == {"waiting": "expired", "late": "expired"}


async def test_a_deadline_does_not_overtake_a_cancel(queue: AsyncQueue, redis: Redis) -> None:
    later = (await queue.signals()).now_ms + 60_000
    await queue.enqueue([turn("a", deadline_ms=later)])
    await queue.claim("w1", 1, lease_s=LEASE_S)
    assert await queue.cancel(["a"]) == ["stopping"]
    redis.zadd(f"opsite:{{{queue.pool}}}:deadlines", {"a": 1})  # as if it had passed
    assert await queue.reap() == 1
    stops = await queue.heartbeat(status("w1"), ["a"], lease_s=LEASE_S)
    assert [(stop.turn, stop.reason) for stop in stops] == [("a", "cancelled")]
