"""One bare, pipelined connection to Redis: what one turn of the event loop asks goes out together, answers come in order.

redis-py's asyncio client takes 70 to 150 µs of CPU for a command that is awaited alone, most of it for its pool, its retries and
its parser's coroutines; here it is 20 to 30 µs, and hiredis packs and parses in both. A command is never sent twice: when the
connection is lost, whoever waits is told `QueueUnavailable`, and the next command opens a new one.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import hiredis
from redis.asyncio.connection import parse_url

from taskqueue.failures import QueueUnavailable, refusal

CONNECT_S = 5.0
ANSWER_S = 5.0
"""A Redis that owes an answer for longer has gone. Redis answers in order, in microseconds each: one that is loaded but alive is
late by milliseconds, and one that is late by a lease has let the leases lapse."""

P = TypeVar("P", bound=asyncio.Protocol)
Command = Sequence[str | bytes | int | float]


def pack(command: Command) -> bytes:
    """A command as it goes over the wire."""
    words: Any = tuple(command)  # the stub of hiredis allows one word only
    return cast("bytes", hiredis.pack_command(words))


class Greeting:
    """What a new connection says first, by its URL: user and password, and the number of the database."""

    def __init__(self, address: dict[str, Any]) -> None:
        self.commands: list[Command] = []
        if address.get("password"):
            self.commands.append(("AUTH", *filter(None, (address.get("username"), address["password"]))))
        if address.get("db"):
            self.commands.append(("SELECT", str(address["db"])))


async def connect(url: str, protocol: Callable[[Greeting], P]) -> P:
    """Connect as `url` says (`redis`, `rediss` or `unix`); raises `QueueUnavailable`."""
    address: dict[str, Any] = dict(parse_url(url))
    greeting = Greeting(address)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_S):
            if "path" in address:
                _, made = await loop.create_unix_connection(lambda: protocol(greeting), address["path"])
            else:
                secure = ssl.create_default_context() if url.startswith("rediss://") else None
                host, port = address.get("host", "localhost"), address.get("port", 6379)
                _, made = await loop.create_connection(lambda: protocol(greeting), host, port, ssl=secure)
    except (OSError, TimeoutError) as error:
        raise QueueUnavailable(f"Redis does not serve the queue: {error or 'no connection in time'}") from error
    return made


class _Connection(asyncio.Protocol):
    """Questions out, answers in, first in first out."""

    def __init__(self, greeting: Greeting, *, answer_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._answer_s = answer_s
        self._parser = hiredis.Reader()
        self._asked: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._unsent: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._watch: asyncio.TimerHandle | None = None  # over the oldest open question
        self._greeting = greeting.commands
        self._greetings = len(self._greeting)
        self.lost = False
        self._why = ""
        self.gone: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Introduce ourselves."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports do not derive from asyncio's
        for command in self._greeting:
            self.ask(command).add_done_callback(_seen)

    def ask(self, command: Command, *, blocks_s: float = 0.0) -> asyncio.Future[Any]:
        """Send with everything else of this turn of the loop; the answer is a value, or an exception."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        if self.lost:  # between the connection and the question it was refused, or hung up
            answer.set_exception(self._failure())
            return answer
        due = self._loop.time() + self._answer_s + blocks_s
        self._asked.append((answer, due))
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(pack(command))
        if self._watch is None:
            self._watch = self._loop.call_at(due, self._look)
        return answer

    def data_received(self, data: bytes) -> None:
        """Give each complete answer to who asked. After a refused introduction none counts: it was given to we know not whom."""
        self._parser.feed(data)
        while (said := self._parser.gets()) is not False:
            answer, _ = self._asked.popleft()
            if self._greetings:
                self._greetings -= 1
                if isinstance(said, hiredis.ReplyError):
                    self.end(str(said))
                    return
            if answer.done():
                continue  # whoever asked has gone
            if isinstance(said, hiredis.ReplyError):
                answer.set_exception(refusal(str(said)))
            else:
                answer.set_result(said)

    def connection_lost(self, error: Exception | None) -> None:
        """Whoever waits is told."""
        self.end(f"the connection was lost: {error or 'closed'}")
        self.gone.set_result(None)

    def end(self, reason: str) -> None:
        """Hang up; every open question fails."""
        if not self.lost:
            self.lost, self._why = True, reason
        if self._watch is not None:
            self._watch.cancel()
        if self._transport is not None:
            self._transport.abort()
        while self._asked:
            answer, _ = self._asked.popleft()
            if not answer.done():
                answer.set_exception(self._failure())

    def _failure(self) -> QueueUnavailable:
        return QueueUnavailable(f"Redis does not serve the queue: {self._why}")

    def _flush(self) -> None:
        if self._transport is not None and not self.lost:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def _look(self) -> None:
        """A Redis that owes an answer for too long has gone."""
        self._watch = None
        if not self._asked:
            return
        due = self._asked[0][1]
        if self._loop.time() >= due:
            self.end(f"it has not answered for {self._answer_s:g} s")
        else:
            self._watch = self._loop.call_at(due, self._look)


def _seen(answer: asyncio.Future[Any]) -> None:
    """Nobody waits for this answer: its error is told to those who ask behind it."""
    if not answer.cancelled():
        answer.exception()


class Link:
    """A connection that is made when it is needed, and again after it was lost. For one event loop."""

    def __init__(self, url: str, *, answer_s: float = ANSWER_S) -> None:
        parse_url(url)  # ValueError for what is no address
        self.url = url
        self._answer_s = answer_s
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[_Connection] | None = None

    async def ask(self, *command: str | bytes | int | float, blocks_s: float = 0.0) -> Any:
        """One command, which Redis may sit on for `blocks_s`.

        Raises `QueueUnavailable` if Redis is away, and redis-py's `ResponseError` if it refuses.
        """
        return await (await self._connected()).ask(command, blocks_s=blocks_s)

    async def ask_all(self, commands: Sequence[Command]) -> list[Any]:
        """Several in one go; a refusal stands as an exception in its place, a lost connection raises."""
        connection = await self._connected()
        answers = await asyncio.gather(*(connection.ask(command) for command in commands), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, QueueUnavailable):
                raise answer
        return answers

    async def aclose(self) -> None:
        """Hang up."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait((self._connecting,))
        if self._connection is not None:
            self._connection.end("closed by this side")
            await self._connection.gone
            self._connection = None

    async def reach(self) -> None:
        """Connect, if there is no connection. Raises `QueueUnavailable`; a Redis that is connected need not answer."""
        await self._connected()

    async def _connected(self) -> _Connection:
        if self._connection is not None and not self._connection.lost:
            return self._connection
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._connect(), name="connect to Redis")
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> _Connection:
        self._connection = await connect(self.url, self._protocol)
        return self._connection

    def _protocol(self, greeting: Greeting) -> _Connection:
        return _Connection(greeting, answer_s=self._answer_s)
