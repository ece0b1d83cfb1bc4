"""Who may speak for a turn: leases, attempts, releases, on a real Redis."""

from __future__ import annotations

import asyncio

from taskqueue.async_client import AsyncQueue
from tests.taskqueue.turns import LEASE_S, delta, status, success, text_of, turn


async def test_a_zombie_is_refused(queue: AsyncQueue) -> None:
    await queue.enqueue([turn("a")])
    (old,) = await queue.claim("w1", 1, lease_s=0)
    await queue.emit("w1", [delta(old, "by the first", 1, 2)])
    assert await queue.reap() == 1
    (new,) = await queue.claim("w2", 1, lease_s=LEASE_S)
    assert (new.attempt, new.streamed) == (2, (1, 2))
    for stops in (
        await queue.emit("w1", [delta(old, "late", 3, nth=2)]),
        await queue.finish("w1", [success(old, nth=2)]),
        await queue.heartbeat(status("w1"), ["a"], lease_s=LEASE_S),
    ):
        assert [(stop.turn, stop.reason) for stop in stops] == [("a", "lost")]
    assert text_of(await queue.read_log("task-a")) == ['"by the first"']
    assert (await queue.signals()).running == 1


async def test_a_heartbeat_keeps_only_the_turns_that_it_names(queue: AsyncQueue) -> None:
    await queue.enqueue([turn("a"), turn("b")])
    await queue.claim("w1", 2, lease_s=0)
    assert await queue.heartbeat(status("w1"), ["a"], lease_s=LEASE_S) == []
    assert await queue.reap() == 1
    assert [claimed.turn for claimed in await queue.claim("w2", 2, lease_s=LEASE_S)] == ["b"]


async def test_out_of_attempts_is_a_failure_with_a_reason(queue: AsyncQueue) -> None:
    await queue.enqueue([turn("a")])
    await queue.heartbeat(status("w1"), [], lease_s=LEASE_S)
    for _ in range(2):
        await queue.claim("w1", 1, lease_s=0)
        await queue.reap(max_attempts=2)
    finished = [record for record in await queue.read_records() if record.kind == "finished"]
    assert [(record.state, record.error.code if record.error else None) for record in finished] == [
        ("failed", "attempts_exhausted")
    ]


async def test_a_release_is_no_failure(queue: AsyncQueue) -> None:
    await queue.enqueue([turn("a")])
    for attempt in (1, 2, 3, 4):
        (claimed,) = await queue.claim("w1", 1, lease_s=LEASE_S)
        assert claimed.attempt == attempt
        assert await queue.release("w1", ["a"]) == 1
        assert await queue.reap(max_attempts=1) == 0
    assert (await queue.signals()).waiting == 1


async def test_two_workers_never_hold_the_same_turn(queue: AsyncQueue) -> None:
    await queue.enqueue([turn(f"t{i}", f"tenant{i % 5}") for i in range(200)])
    claims = await asyncio.gather(*(queue.claim(f"w{i}", 10, lease_s=LEASE_S) for i in range(30)))
    turns = [claimed.turn for claim in claims for claimed in claim]
    assert len(turns) == len(set(turns)) == 200
