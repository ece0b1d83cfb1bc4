"""The websocket `/ws/v1/`: submit, follow many tasks, cancel, over one connection. Messages: docs/websocket.md.

One reader, and one forwarding task per followed task. A forwarder writes what is there in one message and waits until the server
took it; what comes meanwhile stays in Redis, so a slow client costs bounded memory.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from agents.faces.context import Context
from agents.faces.principals import Principal
from agents.faces.requests import TaskRequest, convert, decode
from agents.faces.submit import cancel, find, public, submit
from agents.faces.tasks import recorded
from agents.lifecycle import OUTCOMES
from agents.problems import Problem, bad_field, too_large
from taskqueue.inbox import Subscription
from taskqueue.messages import Event

AUTH_S = 10.0
FOLLOWED_MAX = 1000
NOT_AUTHENTICATED = 4401


class ClientMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Anything a client says; which fields count depends on `type`. `ref` comes back in the answer."""

    type: str
    ref: str | int | None = None
    key: str | None = None
    task: Any = None
    cursor: int = 0
    follow: bool = True


class Session:
    """One connection after the handshake."""

    def __init__(self, context: Context, websocket: WebSocket) -> None:
        self._context, self._websocket = context, websocket
        self._principal: Principal | None = None
        self._following: dict[str, tuple[Subscription, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Serve until the client goes."""
        await self._websocket.accept()
        try:
            if not await self._authenticated():
                return
            while True:
                await self._handle(await self._websocket.receive())
        except WebSocketDisconnect:
            pass
        finally:
            for subscription, forwarder in list(self._following.values()):
                forwarder.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await forwarder
                await subscription.close()

    async def _authenticated(self) -> bool:
        """By the handshake's `Authorization`, or by a first message `auth`."""
        try:
            header = self._websocket.headers.get("authorization")
            if header is None:
                async with asyncio.timeout(AUTH_S):
                    first = _parse(_payload(await self._websocket.receive()), self._context.body_limit)
                header = f"Bearer {first.key}" if first.type == "auth" and first.key else None
            self._principal = await self._context.directory.principal(header)
        except TimeoutError:
            await self._websocket.close(NOT_AUTHENTICATED, "no auth message came")
            return False
        except Problem as problem:
            await self._send({"type": "error", "problem": problem.body()})
            await self._websocket.close(NOT_AUTHENTICATED if problem.status == 401 else 1013, problem.code)
            return False
        await self._send({"type": "ready"})
        return True

    async def _handle(self, received: Any) -> None:
        ref: str | int | None = None
        try:
            message = _parse(_payload(received), self._context.body_limit)
            ref = message.ref
            match message.type:
                case "submit":
                    await self._submit(message)
                case "follow":
                    await self._follow(message)
                case "unfollow":
                    await self._unfollow(_id(message))
                    await self._send({"type": "unfollowed", "ref": ref, "task": message.task})
                case "cancel":
                    row = await cancel(self._context, self._allowed("tasks:write"), _id(message))
                    await self._send({"type": "cancelling", "ref": ref, "task": public(row)})
                case "ping":
                    await self._send({"type": "pong", "ref": ref})
                case other:
                    raise bad_field("type", f"{other!r} is not one of submit, follow, unfollow, cancel, ping")
        except Problem as problem:
            await self._send({"type": "error", "ref": ref, "problem": problem.body()})

    async def _submit(self, message: ClientMessage) -> None:
        principal = self._allowed("tasks:write")
        request = convert(message.task, TaskRequest)
        self._check_room()
        submitted = await submit(self._context, principal, request, follow=message.follow)
        await self._send({"type": "accepted", "ref": message.ref, "task": public(submitted.row)})
        if submitted.followed is not None:
            self._forward(str(submitted.task), submitted.followed)

    async def _follow(self, message: ClientMessage) -> None:
        principal = self._allowed("tasks:read")
        row = await find(self._context, principal, _id(message))
        task = str(row["id"])
        if message.cursor < 0:
            raise bad_field("cursor", "is the number of the last event that was seen, 0 for none")
        self._check_room()
        await self._unfollow(task)
        subscription = self._context.hub.subscribe(row["pool"], task, after=message.cursor)
        await subscription.__aenter__()
        await self._send({"type": "following", "ref": message.ref, "task": task})
        if subscription.last == 0 and row["state"] in OUTCOMES:
            await subscription.close()
            await self._events(task, [event for event in recorded(row) if event.seq > message.cursor])
        else:
            self._forward(task, subscription)

    def _forward(self, task: str, subscription: Subscription) -> None:
        forwarder = asyncio.create_task(self._forwarding(task, subscription), name=f"forward {task}")
        self._following[task] = (subscription, forwarder)

    async def _forwarding(self, task: str, subscription: Subscription) -> None:
        with contextlib.suppress(
            WebSocketDisconnect, RuntimeError
        ):  # RuntimeError: Starlette's word for a closed socket
            while events := await subscription.batch():
                await self._events(task, events)
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
        await self._websocket.send_text(f'{{"type":"events","task":"{task}","events":[{entries}]}}')

    def _allowed(self, scope: str) -> Principal:
        if self._principal is None:
            raise RuntimeError("a message is handled after authentication")
        self._principal.require(scope)
        return self._principal

    def _check_room(self) -> None:
        if len(self._following) >= FOLLOWED_MAX:
            raise Problem(
                429, "too_many_followed", f"This connection follows {FOLLOWED_MAX} tasks; unfollow some first."
            )

    async def _send(self, message: dict[str, Any]) -> None:
        try:
            await self._websocket.send_text(msgspec.json.encode(message).decode())
        except RuntimeError as closed:  # Starlette's word for a socket that the client has left meanwhile
            raise WebSocketDisconnect(1006) from closed


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
