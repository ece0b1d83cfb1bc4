"""Reading requests and writing answers under ASGI: bounded bodies, JSON, problem documents, event streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from agents.problems import MEDIA_TYPE, Problem, too_large

_encode = msgspec.json.Encoder().encode


async def body_of(request: Request, limit: int) -> bytes:
    """The body, or 413 as soon as it is over the limit."""
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > limit:
        raise too_large(limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large(limit)
    return bytes(body)


def json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(_encode(value), status, headers, "application/json")


def problem(error: Problem) -> Response:
    """A refusal as a problem document."""
    return Response(_encode(error.body()), error.status, error.headers(), MEDIA_TYPE)


async def until_left(receive: Receive) -> None:
    """Wait until the client has gone; the request's body was read before."""
    while (await receive())["type"] != "http.disconnect":
        pass


class EventStream(Response):
    """Server-sent events, written as they come; ends at once when the client goes away.

    `chunks` yields bytes ready to be sent, one piece per message to the server. `left` is called when the client is gone.
    """

    HEADERS = (
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-cache"),
        (b"x-accel-buffering", b"no"),
    )

    def __init__(self, chunks: AsyncIterator[bytes], left: Any, headers: Mapping[str, str] | None = None) -> None:
        self._chunks, self._left = chunks, left
        self.status_code = 200
        extra = tuple((name.lower().encode(), value.encode()) for name, value in (headers or {}).items())
        self.raw_headers = [*self.HEADERS, *extra]
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        watching = asyncio.create_task(self._watch(receive))
        try:
            async for chunk in self._chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            watching.cancel()
            await self._chunks.aclose()  # type: ignore[attr-defined]

    async def _watch(self, receive: Receive) -> None:
        await until_left(receive)
        self._left()
