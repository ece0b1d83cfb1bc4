"""Followers of the streams: no gap, no repeat, bounded memory, whatever happens to the inbox."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from benchmarks.chaos.relay import Relay
from taskqueue import inbox
from taskqueue.async_client import AsyncQueue
from taskqueue.inbox import EventHub, Subscription
from taskqueue.messages import ClaimedTurn, Delta, Event, Finish, Submission, TurnBody


@pytest.fixture
async def hub(redis_url: str) -> AsyncIterator[EventHub]:
    hub = EventHub(redis_url, "web-1")
    yield hub
    await hub.aclose()


async def running(hub: EventHub, pool: str, task: str, *, follow: bool = True) -> tuple[AsyncQueue, ClaimedTurn]:
    queue = hub.queue(pool)
    turn = Submission(
        turn=f"turn-{task}", task=task, tenant="ann", body=TurnBody(), inbox=hub.inbox_name if follow else ""
    )
    await queue.enqueue([turn])
    (claimed,) = await queue.claim("w1", 1, lease_s=60)
    return queue, claimed


async def say(queue: AsyncQueue, turn: ClaimedTurn, first: int, last: int) -> None:
    for nth in range(first, last + 1):
        delta = Delta(turn=turn.turn, attempt=1, seq=turn.seq + nth, text=str(nth), token_ids=(nth,))
        assert await queue.emit("w1", [delta]) == []


async def end(queue: AsyncQueue, turn: ClaimedTurn, nth: int) -> None:
    finish = Finish(turn=turn.turn, task=turn.task, attempt=1, seq=turn.seq + nth, state="succeeded")
    assert await queue.finish("w1", [finish]) == []


async def numbers(subscription: Subscription) -> list[int]:
    async with asyncio.timeout(30):
        return [event.seq async for event in subscription]


async def test_expected_from_the_first_event_without_reading_the_log(
    hub: EventHub, pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = await hub.expect(pool, "t")

    async def no_log(*args: object, **kwargs: object) -> None:
        raise AssertionError("the log was read")

    queue, turn = await running(hub, pool, "t")
    monkeypatch.setattr(queue, "read_log", no_log)
    reading = asyncio.create_task(numbers(expected))
    await say(queue, turn, 1, 20)
    await end(queue, turn, 21)
    assert await reading == list(range(1, 24))


@pytest.mark.parametrize("after", [0, 1, 5, 11, 12])
async def test_a_cursor_continues_exactly_there(hub: EventHub, pool: str, after: int) -> None:
    queue, turn = await running(hub, pool, "t", follow=False)
    await say(queue, turn, 1, 10)
    async with hub.subscribe(pool, "t", after=after) as subscription:
        assert subscription.last == 12
        reading = asyncio.create_task(numbers(subscription))
        await say(queue, turn, 11, 12)
        await end(queue, turn, 13)
        assert await reading == list(range(after + 1, 16))


async def test_a_cursor_at_the_outcome_ends_at_once(hub: EventHub, pool: str) -> None:
    queue, turn = await running(hub, pool, "t", follow=False)
    await end(queue, turn, 1)
    async with hub.subscribe(pool, "t", after=3) as subscription:
        assert await numbers(subscription) == []


async def test_a_slow_reader_costs_bounded_memory_and_loses_nothing(hub: EventHub, pool: str) -> None:
    expected = await hub.expect(pool, "t")
    queue, turn = await running(hub, pool, "t")
    await say(queue, turn, 1, inbox.BUFFERED_EVENTS + 300)
    await end(queue, turn, inbox.BUFFERED_EVENTS + 301)
    async with hub.subscribe(pool, "t", after=inbox.BUFFERED_EVENTS + 302) as other:
        assert len(await numbers(other)) == 1  # the inbox was read to its end meanwhile
    assert len(expected._events) <= inbox.BUFFERED_EVENTS
    assert await numbers(expected) == list(range(1, inbox.BUFFERED_EVENTS + 304))


async def test_messages_that_the_inbox_lost_are_read_from_the_log(hub: EventHub, pool: str) -> None:
    expected = await hub.expect(pool, "t")
    queue, turn = await running(hub, pool, "t")
    reading = asyncio.create_task(numbers(expected))
    await say(queue, turn, 1, 5)
    await hub._link.ask("SREM", f"opsite:{{{pool}}}:follow:t", hub.inbox_name)
    await say(queue, turn, 6, 10)  # these never reach the inbox
    await hub._link.ask("SADD", f"opsite:{{{pool}}}:follow:t", hub.inbox_name)
    await say(queue, turn, 11, 12)
    await end(queue, turn, 13)
    assert await reading == list(range(1, 16))


async def test_the_last_message_lost_is_found_by_looking(
    hub: EventHub, pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "SILENCE_S", 0.1)
    expected = await hub.expect(pool, "t")
    queue, turn = await running(hub, pool, "t")
    reading = asyncio.create_task(numbers(expected))
    await hub._link.ask("SREM", f"opsite:{{{pool}}}:follow:t", hub.inbox_name)
    await end(queue, turn, 1)
    assert await reading == [1, 2, 3]


async def test_an_inbox_that_was_cut_off_is_opened_again(hub: EventHub, pool: str) -> None:
    expected = await hub.expect(pool, "t")
    queue, turn = await running(hub, pool, "t")
    reading = asyncio.create_task(numbers(expected))
    await say(queue, turn, 1, 3)
    assert await hub._link.ask("CLIENT", "KILL", "TYPE", "pubsub") >= 1
    await say(queue, turn, 4, 6)  # into no inbox: Redis forgets the follower
    await end(queue, turn, 7)
    assert await reading == list(range(1, 10))


async def test_a_dead_process_is_no_longer_written_to(hub: EventHub, pool: str) -> None:
    queue, turn = await running(hub, pool, "t")  # hub.expect was never called: nobody listens
    await say(queue, turn, 1, 3)
    assert not await hub._link.ask("EXISTS", f"opsite:{{{pool}}}:follow:t")


async def test_abandon_ends_a_waiting_reader(hub: EventHub, pool: str) -> None:
    await running(hub, pool, "t", follow=False)
    subscription = hub.subscribe(pool, "t")
    await subscription.__aenter__()
    assert [event.seq for event in await subscription.batch()] == [1, 2]
    waiting = asyncio.create_task(subscription.batch())
    subscription.abandon()
    assert await waiting == []
    await subscription.close()
    assert not await hub._link.ask("EXISTS", f"opsite:{{{pool}}}:follow:t")


async def test_a_follower_that_came_before_the_inbox_stood_is_not_forgotten(
    hub: EventHub, pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_open, open_reader = asyncio.Event(), inbox.open_reader

    async def slow(*args: Any) -> Any:
        await may_open.wait()
        return await open_reader(*args)

    monkeypatch.setattr(inbox, "open_reader", slow)
    queue, turn = await running(hub, pool, "t", follow=False)
    async with hub.subscribe(pool, "t") as subscription:
        await say(queue, turn, 1, 1)  # nobody listens, so Redis forgets the follower
        assert not await hub._link.ask("EXISTS", f"opsite:{{{pool}}}:follow:t")
        may_open.set()
        await hub._ready[pool].wait()
        assert await hub._link.ask("SISMEMBER", f"opsite:{{{pool}}}:follow:t", hub.inbox_name)
        reading = asyncio.create_task(numbers(subscription))
        await end(queue, turn, 2)
        assert await reading == [1, 2, 3, 4]


async def test_a_task_that_redis_has_lost_is_read_anew(
    hub: EventHub, pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "SILENCE_S", 0.1)
    expected = await hub.expect(pool, "t")
    queue, turn = await running(hub, pool, "t")
    await say(queue, turn, 1, 3)
    assert [event.seq for event in await expected.batch()][-1] <= 5
    await hub._link.ask("DEL", *await hub._link.ask("KEYS", f"opsite:{{{pool}}}:*"))
    await queue.restart(["t"])  # as the sweep does
    queue, turn = await running(hub, pool, "t", follow=False)
    await say(queue, turn, 1, 1)
    async with asyncio.timeout(30):
        events = [event async for event in _until_text(expected)]
    assert [event.kind for event in events[-4:]] == ["restart", "state", "state", "text"]
    assert await hub._link.ask("SISMEMBER", f"opsite:{{{pool}}}:follow:t", hub.inbox_name)


async def test_a_log_that_is_gone_ends_its_followers(hub: EventHub, pool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "SILENCE_S", 0.1)
    expected = await hub.expect(pool, "t")
    await running(hub, pool, "t")
    delivered: list[int] = []
    while delivered != [1, 2]:  # each comes by a message of its own, and one batch holds those that are there
        delivered += [event.seq for event in await expected.batch()]
    await hub._link.ask("DEL", f"opsite:{{{pool}}}:log:t")
    assert await numbers(expected) == []
    assert (expected.ended, expected.lost) == (True, True)


async def _until_text(subscription: Subscription) -> AsyncIterator[Event]:
    """All events up to the first text behind a restart."""
    restarted = False
    while True:
        for event in await subscription.batch():
            yield event
            restarted |= event.kind == "restart"
            if restarted and event.kind == "text":
                return


async def test_an_inbox_that_has_gone_silent_is_opened_again(
    redis_url: str, pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(inbox, "PING_S", 0.2)
    there = Path(urlsplit(redis_url).path)
    relay = Relay(here=tmp_path / "redis.sock", there=there)
    await relay.start()
    hub = EventHub(redis_url.replace(str(there), str(relay.here)), "web-1")
    await hub.expect(pool, "t")
    cutting = asyncio.create_task(relay.cut([os.getpid()], for_s=60.0, silent=True))
    async with asyncio.timeout(30):
        while "has not answered 4 pings" not in caplog.text:  # noqa: ASYNC110 - a log has no event
            await asyncio.sleep(0.01)
    cutting.cancel()
    await hub.aclose()
    await relay.stop()


async def test_a_process_that_was_late_itself_keeps_its_inbox(
    hub: EventHub, pool: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(inbox, "PING_S", 0.2)
    expected = await hub.expect(pool, "t")
    queue, turn = await running(hub, pool, "t")
    reading = asyncio.create_task(numbers(expected))
    late_s = (inbox.PINGS + 1) * inbox.PING_S  # a Redis that is silent for so long is dead
    time.sleep(late_s)  # noqa: ASYNC251 - nothing runs meanwhile, as if the process were stopped
    await end(queue, turn, 1)
    assert await reading == [1, 2, 3]
    assert "pings" not in caplog.text
