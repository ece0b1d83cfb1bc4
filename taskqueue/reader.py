"""Reads one inbox as fast as it fills: a bare connection that is subscribed to the inbox's channel and says nothing itself.

A token alone costs one read of the inbox, so what a read costs is what a token costs a quiet gateway. A blocking read of a stream
would ask again after each message: one more system call here, one more command in Redis.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import hiredis

from taskqueue import entries
from taskqueue.failures import QueueUnavailable
from taskqueue.link import CONNECT_S, Greeting, connect, pack
from taskqueue.messages import Event

Deliver = Callable[[list[Event]], None]


class InboxReader(asyncio.Protocol):
    """One connection. `subscribed` ends when messages will come, `closed` with the reason why no more do."""

    def __init__(self, channel: str, deliver: Deliver, *, greeting: Greeting) -> None:
        self._channel, self._deliver = channel, deliver
        self._greeting = greeting.commands
        self._greetings = len(self._greeting)
        self._parser = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        loop = asyncio.get_running_loop()
        self.subscribed: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.unanswered = 0
        """How many pings there were since Redis last said anything."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Introduce ourselves, and subscribe."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports do not derive from asyncio's
        for command in (*self._greeting, ("SUBSCRIBE", self._channel)):
            self._transport.write(pack(command))

    def data_received(self, data: bytes) -> None:
        """Deliver all complete messages."""
        self.unanswered = 0
        self._parser.feed(data)
        while (answer := self._parser.gets()) is not False:
            if isinstance(answer, Exception):
                self._end(QueueUnavailable(f"Redis refuses to open the inbox: {answer}"))
                return
            if self._greetings:
                self._greetings -= 1
            elif answer[0] == b"message":
                self._deliver(entries.read_letter(answer[2]))
            elif answer[0] == b"subscribe":
                self.subscribed.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        """Whoever waits for `closed` hears of it."""
        self._end(QueueUnavailable(f"the connection to Redis was lost: {error or 'closed'}"))

    def ping(self) -> None:
        """Have Redis say something."""
        self.unanswered += 1
        if self._transport is not None:
            self._transport.write(pack(("PING",)))

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    def _end(self, reason: QueueUnavailable) -> None:
        if not self.closed.done():
            self.closed.set_exception(reason)
            self.closed.exception()  # it may be that nobody waits any more
        self.close()


async def open_reader(url: str, channel: str, deliver: Deliver) -> InboxReader:
    """Connect as `url` says (`redis`, `rediss` or `unix`) and subscribe; raises `QueueUnavailable`."""
    reader = await connect(url, lambda greeting: InboxReader(channel, deliver, greeting=greeting))
    await asyncio.wait((reader.subscribed, reader.closed), timeout=CONNECT_S, return_when=asyncio.FIRST_COMPLETED)
    if reader.closed.done():
        reader.closed.result()
    if not reader.subscribed.done():
        reader.close()
        raise QueueUnavailable(f"Redis did not open the inbox in {CONNECT_S:g} s")
    return reader
