"""The websocket `/ws/v1/`: submit, follow many tasks, cancel, over one connection. Messages: docs/websocket.md.

One reader, and one forwarding task per followed task. A forwarder writes what is there in one message and waits until the server
took it; what comes meanwhile stays in Redis, so a slow client costs bounded memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from agents.faces import leaving
from agents.faces.allowance import Allowance
from agents.faces.context import Context
from agents.faces.found import cancel, find, public, stream
from agents.faces.principals import Principal
from agents.faces.requests import TaskRequest, convert, cursor_in_range, decode
from agents.faces.submit import submit
from agents.faces.submitted import Submitted
from agents.faces.tasks import recorded
from agents.lifecycle import OUTCOMES
from agents.problems import Problem, bad_field, stream_lost, too_large, unavailable
from taskqueue.failures import QueueUnavailable
from taskqueue.inbox import Subscription
from taskqueue.messages import Event
from telemetry import logs, tracing

log = logging.getLogger(__name__)

AUTH_S = 10.0
FOLLOWED_MAX = 1000
NOT_AUTHENTICATED = 4401
UNAVAILABLE = 4503  # not every server may send the standard's 1013
RESTARTED = 1012
"""So a server says that it ends itself: no client has left."""

REASON_S = 1.0
"""How long the server may take to say why a connection that takes no message any more has ended."""

MESSAGES_PER_S = 100.0
MESSAGES_AT_ONCE = 2000.0
"""A client may submit and follow all that a connection can follow in one breath; one that goes on like this floods."""
FLOODED = 4429
SUBMIT_SPAN = "websocket submit"


class ClientMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Anything a client says; which fields count depends on `type`. `ref` comes back in the answer.

    `traceparent` and `tracestate` are a submission's own; without them those of the handshake hold.
    """

    type: str
    ref: str | int | None = None
    key: str | None = None
    task: Any = None
    cursor: int = 0
    follow: bool = True
    traceparent: str | None = None
    tracestate: str | None = None

    def trace_headers(self, handshake: Mapping[str, str]) -> Mapping[str, str]:
        """The trace that it continues, as the headers of a request would say it."""
        if self.traceparent is None:
            return handshake
        return {"traceparent": self.traceparent, "tracestate": self.tracestate or ""}


class Session:
    """One connection after the handshake."""

    def __init__(self, context: Context, websocket: WebSocket) -> None:
        self._context, self._websocket = context, websocket
        self._authorization: str | None = None
        self._following: dict[str, tuple[Subscription, asyncio.Task[None]]] = {}
        self._ending: dict[str, Submitted] = {}
        """Tasks of this connection that end with it, until their outcome was sent, or the client has let them go."""

    async def run(self) -> None:
        """Serve until the client goes."""
        await self._websocket.accept()
        try:
            if not await self._authenticated():
                return
            allowance = Allowance.full(per_s=MESSAGES_PER_S, burst=MESSAGES_AT_ONCE, now=time.monotonic())
            while await self._handle(await self._websocket.receive()):
                if not allowance.take(time.monotonic()):
                    await self._send({"type": "error", "problem": _flood().body()})
                    await self._close(FLOODED, "too_many_messages")
                    return
        except WebSocketDisconnect as left:
            if await self._code_of(left) != RESTARTED:
                await leaving.end(self._context, self._ending.values())
        finally:
            for subscription, forwarder in list(self._following.values()):
                forwarder.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await forwarder
                await subscription.close()

    async def _code_of(self, left: WebSocketDisconnect) -> int:
        """Why the connection ended. Who learns of it by a message that cannot be sent any more has yet to ask for the reason."""
        with contextlib.suppress(RuntimeError, TimeoutError):
            async with asyncio.timeout(REASON_S):
                while self._websocket.client_state is WebSocketState.CONNECTED:
                    received = await self._websocket.receive()
                    if received["type"] == "websocket.disconnect":
                        return int(received.get("code") or left.code)
        return left.code

    async def _authenticated(self) -> bool:
        """By the handshake's `Authorization`, or by a first message `auth`."""
        try:
            self._authorization = self._websocket.headers.get("authorization")
            if self._authorization is None:
                async with asyncio.timeout(AUTH_S):
                    first = _parse(_payload(await self._websocket.receive()), self._context.body_limit)
                self._authorization = f"Bearer {first.key}" if first.type == "auth" and first.key else None
            await self._context.directory.principal(self._authorization)
        except TimeoutError:
            await self._close(NOT_AUTHENTICATED, "no auth message came")
            return False
        except Problem as problem:
            await self._send({"type": "error", "problem": problem.body()})
            await self._close(NOT_AUTHENTICATED if problem.status == 401 else UNAVAILABLE, problem.code)
            return False
        await self._send({"type": "ready"})
        return True

    async def _handle(self, received: Any) -> bool:
        """Answer one message; false when the connection was closed over it."""
        with logs.about():
            return await self._handled(received)

    async def _handled(self, received: Any) -> bool:
        ref: str | int | None = None
        try:
            message = _parse(_payload(received), self._context.body_limit)
            ref = message.ref
            await self._answer(message)
        except WebSocketDisconnect:
            raise
        except Exception as error:
            problem = _problem(error)
            await self._send({"type": "error", "ref": ref, "problem": problem.body()})
            if problem.status == 401:  # the key was revoked, or has expired, since the handshake
                await self._close(NOT_AUTHENTICATED, problem.code)
                return False
        return True

    async def _answer(self, message: ClientMessage) -> None:
        answer = ANSWERS.get(message.type)
        if answer is None:
            raise bad_field("type", f"{message.type!r} is not one of {', '.join(ANSWERS)}")
        await answer(self, message)

    async def _submit(self, message: ClientMessage) -> None:
        principal = await self._allowed("tasks:write")
        request = convert(message.task, TaskRequest)
        if message.follow:
            self._check_room()
        with tracing.opened(SUBMIT_SPAN, kind="server", headers=message.trace_headers(self._websocket.headers)):
            logs.note(trace=tracing.place())
            submitted = await submit(self._context, principal, request, follow=message.follow)
        if submitted.ends_with_client:
            self._ending[str(submitted.task)] = submitted  # also if the client has left already
        await self._send({"type": "accepted", "ref": message.ref, "task": public(submitted.row, submitted.place)})
        if submitted.followed is not None:
            self._forward(str(submitted.task), submitted.followed)

    async def _follow(self, message: ClientMessage) -> None:
        principal = await self._allowed("tasks:read")
        cursor_in_range(message.cursor, field="cursor")
        row = await find(self._context, principal, _id(message))
        task = str(row["id"])
        await self._unfollow(task)
        self._check_room()
        subscription = await stream(self._context, row, after=message.cursor)
        await self._send({"type": "following", "ref": message.ref, "task": task})
        if subscription.last == 0 and row["state"] in OUTCOMES:
            await subscription.close()
            await self._events(task, recorded(row, after=message.cursor))
        else:
            self._forward(task, subscription)

    async def _let_go(self, message: ClientMessage) -> None:
        task = _id(message)
        await self._unfollow(task)
        self._ending.pop(task, None)
        await self._send({"type": "unfollowed", "ref": message.ref, "task": message.task})

    async def _cancel(self, message: ClientMessage) -> None:
        row = await cancel(self._context, await self._allowed("tasks:write"), _id(message))
        await self._send({"type": "cancelling", "ref": message.ref, "task": public(row)})

    async def _pong(self, message: ClientMessage) -> None:
        await self._send({"type": "pong", "ref": message.ref})

    def _forward(self, task: str, subscription: Subscription) -> None:
        forwarder = asyncio.create_task(self._forwarding(task, subscription), name=f"forward {task}")
        self._following[task] = (subscription, forwarder)

    async def _forwarding(self, task: str, subscription: Subscription) -> None:
        with contextlib.suppress(WebSocketDisconnect):
            while events := await subscription.batch():
                await self._events(task, events)
            if subscription.lost:
                await self._send({"type": "error", "ref": None, "task": task, "problem": stream_lost().body()})
            else:
                self._ending.pop(task, None)
        await subscription.close()
        if (known := self._following.get(task)) and known[0] is subscription:
            del self._following[task]

    async def _unfollow(self, task: str) -> None:
        if followed := self._following.pop(task, None):
            followed[1].cancel()
            await followed[0].close()

    async def _events(self, task: str, events: list[Event]) -> None:
        entries = ",".join(
            f'{{"cursor":{event.seq},"event":"{event.kind}","data":'
            + (f'{{"text":{event.data}}}}}' if event.kind == "text" else f"{event.data}}}")
            for event in events
        )
        await self._send_text(f'{{"type":"events","task":"{task}","events":[{entries}]}}')

    async def _allowed(self, scope: str) -> Principal:
        """The key is looked at anew for each message: a connection does not outlive its key's revocation."""
        principal = await self._context.directory.principal(self._authorization)
        principal.require(scope)
        return principal

    def _check_room(self) -> None:
        if len(self._following) >= FOLLOWED_MAX:
            raise Problem(
                429,
                "too_many_followed",
                f"This connection follows {FOLLOWED_MAX} tasks; unfollow some first.",
                retry_after_s=1,
            )

    async def _send(self, message: dict[str, Any]) -> None:
        await self._send_text(msgspec.json.encode(message).decode())

    async def _send_text(self, text: str) -> None:
        try:
            await self._websocket.send_text(text)
        except RuntimeError as closed:  # Starlette's word for a socket that the client has left meanwhile
            raise WebSocketDisconnect(1006) from closed

    async def _close(self, code: int, reason: str) -> None:
        with contextlib.suppress(RuntimeError):  # it is closed already
            await self._websocket.close(code, reason)


ANSWERS: dict[str, Callable[[Session, ClientMessage], Awaitable[None]]] = {
    "submit": Session._submit,
    "follow": Session._follow,
    "unfollow": Session._let_go,
    "cancel": Session._cancel,
    "ping": Session._pong,
}
"""What a client may say once it is known, and what answers it."""


def _problem(error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case QueueUnavailable():
            return unavailable("The queue")
        case _:
            log.error("a websocket message failed", exc_info=error)
            return Problem(500, "internal", "Something went wrong on our side; the error was logged.")


def _flood() -> Problem:
    return Problem(
        429,
        "too_many_messages",
        f"One connection may send {MESSAGES_PER_S:g} messages per second; connect again and go on from your cursors.",
        retry_after_s=1,
    )


def _payload(received: Any) -> bytes:
    if received["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(received.get("code") or 1000)
    text = received.get("text")
    return text.encode() if text is not None else received.get("bytes") or b""


def _parse(payload: bytes, limit: int) -> ClientMessage:
    if len(payload) > limit:
        raise too_large(limit)
    return decode(payload, ClientMessage)


def _id(message: ClientMessage) -> str:
    if not isinstance(message.task, str):
        raise bad_field("task", "the id of a task is needed")
    return message.task
