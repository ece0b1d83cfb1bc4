"""The web process's side of the streams: one inbox per pool, many followers, each without gap or repeat.

The log is the truth, the inbox is speed. A subscription keeps the number that it expects next; whatever does not fit (a gap, a
reader that fell too far behind, a lost connection) makes it read the log from its own cursor. So memory per follower is bounded,
and a lost inbox message costs one read and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections import deque
from collections.abc import AsyncIterator
from functools import partial
from types import TracebackType

from taskqueue import keys
from taskqueue.async_budget import AsyncBudget
from taskqueue.async_client import AsyncQueue
from taskqueue.failures import QueueUnavailable
from taskqueue.link import Link
from taskqueue.messages import Event
from taskqueue.reader import InboxReader, open_reader

log = logging.getLogger(__name__)

BUFFERED_EVENTS = 512
"""What a follower may leave unread before its buffer is dropped and the log is read instead."""
PING_S = 1.0
PINGS = 4
"""So many pings without any word from Redis mean that the connection is dead. They are counted, not timed: a process that was
stopped itself, or is late, has heard nothing only because it did not listen."""
RECONNECT_S = 0.25
READY_MS = 10_000
SILENCE_S = 5.0
"""After so long without an event a follower looks into the log: the last message of all may be the one that was lost."""


class Subscription:
    """One follower of one task. Iterate it for events, or call `batch` for all that are there; it ends after the outcome.

    `last` is the log's last number when following began: 0 means that Redis has no log of the task (not yet, or no longer).
    `lost` says that it ended because Redis has lost the log: whoever reads it should ask Postgres, and follow anew.
    """

    def __init__(self, hub: EventHub, pool: str, task: str, *, after: int, behind: bool) -> None:
        self.pool, self.task, self.last = pool, task, 0
        self.expected, self.lost = not behind, False
        self._hub = hub
        self._delivered = after
        self._buffered = after
        self._behind = behind
        self._ended = self._abandoned = False
        self._events: deque[Event] = deque()
        self._wake = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Nothing more will come: the outcome was delivered, or the follower was told to stop."""
        return self._ended

    @property
    def abandoned(self) -> bool:
        """The reader has gone (`abandon`)."""
        return self._abandoned

    async def batch(self, *, timeout_s: float = 3600.0) -> list[Event]:
        """All events that are there, in order; waits for the first. Empty after the end (`ended`) or the time-out."""
        give_up_at = asyncio.get_running_loop().time() + timeout_s
        while not self._ended:
            events = await self._from_log() if self._behind else self._from_buffer()
            if events:
                self._delivered = events[-1].seq
                self._ended = events[-1].kind == "outcome"
                return events
            self._wake.clear()
            if self._behind or self._events or self._ended:
                continue
            left_s = give_up_at - asyncio.get_running_loop().time()
            if left_s <= 0:
                break
            try:
                async with asyncio.timeout(min(SILENCE_S, left_s)):
                    await self._wake.wait()
            except TimeoutError:
                await self._look()
        return []

    async def _look(self) -> None:
        """After a silence. The last message of all may be lost, and a Redis without its data knows no followers any more."""
        self._behind = True
        with contextlib.suppress(QueueUnavailable):
            if await self._hub.queue(self.pool).follow(self.task, self._hub.inbox_name) < self._delivered:
                self._ended = self.lost = True

    def abandon(self) -> None:
        """The reader has gone: whoever waits in `batch` gets an empty answer, and the subscription has ended."""
        self._ended = self._abandoned = True
        self._wake.set()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while events := await self.batch():
            for event in events:
                yield event

    async def __aenter__(self) -> Subscription:
        if self._behind:
            queue = self._hub.queue(self.pool)
            self.last = await queue.follow(self.task, self._hub.inbox_name)
            if 0 < self.last <= self._delivered:  # a reader who had all of it may have had the outcome too
                newest = await queue.read_log(self.task, after=self.last - 1, count=1)
                self._ended = bool(newest) and newest[0].kind == "outcome"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop following. A task that has ended needs no word to Redis."""
        if self._hub.drop(self) and (self._abandoned or not self._ended):
            with contextlib.suppress(QueueUnavailable):
                await self._hub.queue(self.pool).unfollow(self.task, self._hub.inbox_name)

    def push(self, event: Event) -> None:
        """An event from the inbox (called by the hub)."""
        if event.seq == self._buffered + 1 and len(self._events) < BUFFERED_EVENTS and not self._behind:
            self._events.append(event)
            self._buffered = event.seq
            self._wake.set()
        elif event.seq > self._buffered:
            self.mark_behind()

    def mark_behind(self) -> None:
        """The inbox cannot be trusted: go on from the log."""
        self._behind = True
        self._events.clear()
        self._wake.set()

    def _from_buffer(self) -> list[Event]:
        events = list(self._events)
        self._events.clear()
        return events

    async def _from_log(self) -> list[Event]:
        self._behind = False
        self._events.clear()
        self._buffered = self._delivered
        page = 1000
        try:
            events = await self._hub.queue(self.pool).read_log(self.task, after=self._delivered, count=page)
        except QueueUnavailable:
            self._behind = True
            await asyncio.sleep(RECONNECT_S)
            return []
        # What came by the inbox while the log was read is in `_events` and starts behind `_delivered`.
        newest = events[-1].seq if events else self._delivered
        while self._events and self._events[0].seq <= newest:
            self._events.popleft()
        if self._events and self._events[0].seq != newest + 1:
            self._events.clear()
        self._buffered = self._events[-1].seq if self._events else newest
        self._behind = self._behind or len(events) == page
        return events


class EventHub:
    """All followers of one web process. It must be used within one event loop; `aclose` ends its readers."""

    def __init__(self, redis_url: str, process: str) -> None:
        self.inbox_name = process
        self._link = Link(redis_url)
        self.budget = AsyncBudget(self._link)
        self._queues: dict[str, AsyncQueue] = {}
        self._readers: dict[str, asyncio.Task[None]] = {}
        self._ready: dict[str, asyncio.Event] = {}
        self._followers: dict[tuple[str, str], set[Subscription]] = {}

    def queue(self, pool: str) -> AsyncQueue:
        """The pool's queue, over the hub's connections."""
        if pool not in self._queues:
            self._queues[pool] = AsyncQueue(self._link, pool)
        return self._queues[pool]

    async def takes(self) -> None:
        """Raises `QueueUnavailable` if Redis takes nothing in: it is away, out of memory, or a replica. A PING would not tell."""
        await self._link.ask("SET", f"opsite:ready:{self.inbox_name}", "1", "PX", READY_MS)

    async def reach(self) -> None:
        """Raises `QueueUnavailable` if there is no connection to Redis: then nothing that is asked now can have any effect."""
        await self._link.reach()

    def subscribe(self, pool: str, task: str, *, after: int = 0) -> Subscription:
        """Follow a task from behind `after`: `async with hub.subscribe(...) as subscription`."""
        return self._add(Subscription(self, pool, task, after=after, behind=True))

    async def expect(self, pool: str, task: str) -> Subscription:
        """Follow a task that will be enqueued with `Submission.inbox = hub.inbox_name`: no round trip of its own.

        Waits, the first time for a pool, until the inbox stands. Close the subscription if the task is not enqueued after all.
        """
        subscription = self._add(Subscription(self, pool, task, after=0, behind=False))
        await self._ready[pool].wait()
        return subscription

    def drop(self, subscription: Subscription) -> bool:
        """Forget a follower; true if it was the task's last one here."""
        place = (subscription.pool, subscription.task)
        followers = self._followers.get(place)
        if followers is None:
            return False
        followers.discard(subscription)
        if followers:
            return False
        del self._followers[place]
        return True

    async def aclose(self) -> None:
        """End the readers and the connections."""
        readers = list(self._readers.values())
        while not all(reader.done() for reader in readers):
            for reader in readers:
                reader.cancel()
            await asyncio.wait(readers, timeout=0.1)
        for queue in self._queues.values():
            await queue.aclose()
        await self._link.aclose()

    def _add(self, subscription: Subscription) -> Subscription:
        pool = subscription.pool
        if pool not in self._readers:
            self._ready[pool] = asyncio.Event()
            own = contextvars.Context()  # it is about no one request
            self._readers[pool] = asyncio.create_task(self._read(pool), name=f"inbox of {pool}", context=own)
        self._followers.setdefault((pool, subscription.task), set()).add(subscription)
        return subscription

    async def _read(self, pool: str) -> None:
        """Read the pool's inbox for ever. After each reconnection every follower looks into its log once."""
        deliver = partial(self._deliver, pool)
        while True:
            reader: InboxReader | None = None
            try:
                reader = await open_reader(self._link.url, keys.inbox(pool, self.inbox_name), deliver)
                await self._follow_again(pool, reopened=self._ready[pool].is_set())
                self._ready[pool].set()
                await self._listen(reader)
            except QueueUnavailable as failure:
                log.warning("inbox of pool %s: %s", pool, failure)
                await asyncio.sleep(RECONNECT_S)
            finally:
                if reader is not None:
                    reader.close()

    async def _listen(self, reader: InboxReader) -> None:
        """Until the connection is lost: raises `QueueUnavailable`."""
        while reader.unanswered < PINGS:
            reader.ping()
            await asyncio.wait((reader.closed,), timeout=PING_S)
            if reader.closed.done():
                reader.closed.result()
        raise QueueUnavailable(f"Redis has not answered {PINGS} pings")

    def _deliver(self, pool: str, events: list[Event]) -> None:
        for event in events:
            for subscription in self._followers.get((pool, event.task), ()):
                subscription.push(event)

    async def _follow_again(self, pool: str, *, reopened: bool) -> None:
        """The inbox was not there: register its followers anew and let them read what they missed.

        A follower that nobody heard is forgotten by Redis, and one may have come before the inbox first stood. Only who expects
        a task that is not enqueued before then has missed nothing.
        """
        for place, followers in list(self._followers.items()):
            if place[0] != pool:
                continue
            missed = [one for one in followers if reopened or not one.expected]
            if missed:
                await self.queue(pool).follow(place[1], self.inbox_name)
            for subscription in missed:
                subscription.mark_behind()
