"""The load generator: a closed loop of streaming chat completions over raw sockets, in a process of its own.

    python -m benchmarks.load '{"url": "http://127.0.0.1:8000", "key": "…", "concurrency": 8, "requests": 64, "max_tokens": 128}'

It parses no JSON on the way: an event counts if it carries non-empty content. Prints one JSON object (`Measured`).
"""

from __future__ import annotations

import asyncio
import sys
import time
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import msgspec

_EMPTY = b'"content":""'
_CONTENT = b'"content":'


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to send. Every request is a streamed chat completion of `max_tokens` tokens."""

    url: str
    key: str
    concurrency: int
    requests: int
    max_tokens: int
    model: str = "bench"
    words: int = 0
    """More words of each prompt, other ones in each."""
    more: dict[str, Any] = {}
    """Further fields of the body."""
    timeout_s: float = 180.0
    """Of a whole answer."""


class Measured(msgspec.Struct, kw_only=True):
    """What came of it: times in seconds, from the request's first byte; `failed` requests count nowhere else."""

    wall_s: float = 0.0
    first_s: list[float] = []
    whole_s: list[float] = []
    events: int = 0
    failed: int = 0
    errors: list[str] = []
    cpu_s: float = 0.0


class _Stream(asyncio.Protocol):
    """One request on one connection."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._rest = b""
        self.events = 0
        self.first_at = 0.0
        self.sent_at = 0.0
        self.error = ""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.sent_at = time.perf_counter()
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for event in events:
            if _CONTENT in event and _EMPTY not in event and b'"content":null' not in event:
                self.events += 1
                if not self.first_at:
                    self.first_at = time.perf_counter()
            elif b"data: [DONE]" in event:
                self._end()
            elif b'"error"' in event:
                self.error = event.decode(errors="replace")[-300:]

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.error = self.error or (self._rest.decode(errors="replace")[-300:] or f"connection lost: {error}")
            self.done.set_result(None)

    def _end(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
        self._transport.close()


def _same(stream: _Stream) -> _Stream:
    return stream


def request_bytes(plan: Plan, number: int) -> bytes:
    """A whole HTTP/1.1 request."""
    body = msgspec.json.encode(
        {
            "model": plan.model,
            "messages": [{"role": "user", "content": f"Tell me story number {number}, please.{_words(plan, number)}"}],
            "max_tokens": plan.max_tokens,
            "stream": True,
            **plan.more,
        }
    )
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {urlsplit(plan.url).netloc}\r\nAuthorization: Bearer {plan.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def _words(plan: Plan, number: int) -> str:
    return "".join(f" {number * plan.words + word}" for word in range(plan.words))


async def run(plan: Plan) -> Measured:
    """Keep `concurrency` requests under way until `requests` are done."""
    address = urlsplit(plan.url)
    measured = Measured()
    numbers = iter(range(plan.requests))
    loop = asyncio.get_running_loop()

    async def one_after_the_other() -> None:
        for number in numbers:
            stream = _Stream(request_bytes(plan, number))
            await loop.create_connection(partial(_same, stream), address.hostname or "127.0.0.1", address.port or 80)
            try:
                async with asyncio.timeout(plan.timeout_s):
                    await stream.done
            except TimeoutError:
                stream.error = f"no end in {plan.timeout_s:g} s"
            if stream.error or not stream.first_at:
                measured.failed += 1
                measured.errors.append(stream.error or "no content came")
                continue
            measured.first_s.append(stream.first_at - stream.sent_at)
            measured.whole_s.append(time.perf_counter() - stream.sent_at)
            measured.events += stream.events

    began, cpu_began = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one_after_the_other() for _ in range(plan.concurrency)))
    measured.wall_s, measured.cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    measured.errors = measured.errors[:3]
    return measured


def main() -> None:
    """One plan in, one result out."""
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    print(msgspec.json.encode(asyncio.run(run(plan))).decode())


if __name__ == "__main__":
    main()
