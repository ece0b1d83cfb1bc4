"""The way of one turn through the queue on a real Redis, by both clients."""

from __future__ import annotations

import pytest

from taskqueue.async_client import AsyncQueue
from taskqueue.keys import BadPoolName
from taskqueue.sync_client import Queue
from tests.taskqueue.turns import LEASE_S, delta, status, success, text_of, turn


async def test_a_turn_goes_its_way(queue: AsyncQueue) -> None:
    (answer,) = await queue.enqueue([turn("a", deadline_ms=0)])
    assert (answer.verdict, answer.waiting) == ("accepted", 1)
    assert await queue.wait_for_work(timeout_s=1)
    (claimed,) = await queue.claim("w1", 4, lease_s=LEASE_S)
    assert claimed.body == turn("a").body
    assert (claimed.attempt, claimed.streamed) == (1, ())
    assert await queue.emit("w1", [delta(claimed, 'one "quoted"\n', 1, 70_000)]) == []
    assert await queue.finish("w1", [success(claimed, nth=2)]) == []

    events = await queue.read_log("task-a")
    assert [event.seq for event in events] == [1, 2, 3, 4]
    assert [event.kind for event in events] == ["state", "state", "text", "outcome"]
    assert text_of(events) == ['"one \\"quoted\\"\\n"']

    records = await queue.read_records()
    assert [record.kind for record in records] == ["claimed", "finished"]
    assert records[1].text == "done"
    assert await queue.known(["a"]) == [True]
    await queue.acknowledge(records)
    assert await queue.known(["a"]) == [False]
    assert await queue.read_records() == []
    assert len(await queue.read_log("task-a")) == 4  # for late readers


async def test_the_same_turn_twice_is_one_turn(queue: AsyncQueue) -> None:
    verdicts = await queue.enqueue([turn("a"), turn("a")])
    assert [answer.verdict for answer in verdicts] == ["accepted", "known"]
    assert len(await queue.claim("w1", 4, lease_s=LEASE_S)) == 1


async def test_an_enqueue_that_comes_after_the_end_is_not_run_again(queue: AsyncQueue) -> None:
    await queue.enqueue([turn("a")])
    (claimed,) = await queue.claim("w1", 1, lease_s=LEASE_S)
    await queue.finish("w1", [success(claimed)])
    await queue.acknowledge(await queue.read_records())
    (late,) = await queue.enqueue([turn("a")])
    assert late.verdict == "known"
    assert await queue.claim("w1", 1, lease_s=LEASE_S) == []


async def test_an_event_that_comes_twice_is_stored_once(queue: AsyncQueue) -> None:
    await queue.enqueue([turn("a")])
    (claimed,) = await queue.claim("w1", 1, lease_s=LEASE_S)
    for _ in range(2):
        await queue.emit("w1", [delta(claimed, "x", 1)])
    assert text_of(await queue.read_log("task-a")) == ['"x"']


async def test_signals_and_leaving(queue: AsyncQueue) -> None:
    await queue.enqueue([turn("a"), turn("b")])
    await queue.claim("w1", 1, lease_s=LEASE_S)
    await queue.heartbeat(status("w1"), ["a"], lease_s=LEASE_S)
    signals = await queue.signals()
    assert (signals.waiting, signals.running, [w.worker for w in signals.workers]) == (1, 1, ["w1"])
    assert 0 <= signals.now_ms - signals.workers[0].beat_ms < 5_000
    await queue.leave("w1")
    assert (await queue.signals()).workers == ()


def test_the_synchronous_client_speaks_the_same(redis_url: str, pool: str) -> None:
    queue = Queue(redis_url, pool)
    queue.enqueue([turn("a")])
    (claimed,) = queue.claim("w1", 1, lease_s=LEASE_S)
    queue.emit("w1", [delta(claimed, "x", 7)])
    queue.finish("w1", [success(claimed, nth=2)])
    records = queue.read_records()
    assert [record.kind for record in records] == ["claimed", "finished"]
    queue.acknowledge(records)
    assert queue.known(["a"]) == [False]
    queue.close()


@pytest.mark.parametrize("name", ["", "Upper", "a b", "{x}", "a" * 64, "ü"])
def test_pool_names_that_would_break_keys_are_refused(name: str) -> None:
    with pytest.raises(BadPoolName, match="use 1 to 63"):
        AsyncQueue("redis://localhost", name)
