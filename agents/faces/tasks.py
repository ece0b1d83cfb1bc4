"""REST of tasks: submit, get, cancel, and the event stream."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from agents.faces import answers
from agents.faces.context import Context
from agents.faces.database import Row
from agents.faces.found import cancel, find, place_of, public, stream
from agents.faces.requests import CURSOR_MAX, TaskRequest, cursor_in_range, decode
from agents.faces.submit import submit
from agents.lifecycle import OUTCOMES
from agents.problems import bad_field
from taskqueue.calls import json_text
from taskqueue.inbox import Subscription
from taskqueue.messages import Event

KEEP_ALIVE_S = 15.0
CURSOR_DIGITS = len(str(CURSOR_MAX))


async def post_task(context: Context, request: Request) -> Response:
    """`POST /api/v1/tasks`: 202, committed and queued."""
    principal = await context.directory.principal(request.headers.get("authorization"))
    principal.require("tasks:write")
    wanted = decode(await answers.body_of(request, context.body_limit), TaskRequest)
    if (key := request.headers.get("idempotency-key")) is not None:
        wanted = msgspec.structs.replace(wanted, idempotency_key=key)
    submitted = await submit(context, principal, wanted)
    location = {"Location": f"/api/v1/tasks/{submitted.task}"}
    return answers.json(public(submitted.row, submitted.place), 202, {**location, **submitted.headers})


async def get_task(context: Context, request: Request) -> Response:
    """`GET /api/v1/tasks/{id}`."""
    principal = await context.directory.principal(request.headers.get("authorization"))
    principal.require("tasks:read")
    row = await find(context, principal, request.path_params["id"])
    return answers.json(public(row, await place_of(context, row)))


async def cancel_task(context: Context, request: Request) -> Response:
    """`DELETE /api/v1/tasks/{id}` and `POST …/cancel`: 202; the outcome comes by the stream."""
    principal = await context.directory.principal(request.headers.get("authorization"))
    principal.require("tasks:write")
    return answers.json(public(await cancel(context, principal, request.path_params["id"])), 202)


async def get_events(context: Context, request: Request) -> Response:
    """`GET /api/v1/tasks/{id}/events`: from behind `Last-Event-ID` (or `?after=`), live, to the outcome."""
    principal = await context.directory.principal(request.headers.get("authorization"))
    principal.require("tasks:read")
    _cursor(request)
    row = await find(context, principal, request.path_params["id"])
    return await events_of(context, request, row)


async def events_of(context: Context, request: Request, row: Row, *, life_s: float | None = None) -> Response:
    """The events of a task that the asker may read. The stream ends after `life_s`, for the reader to come back with its cursor;
    None: with the outcome only.
    """
    after = _cursor(request)
    if request.method == "HEAD":
        return Response(None, 200, {"cache-control": "no-cache"}, "text/event-stream")
    subscription = await stream(context, row, after=after)
    if subscription.last == 0 and row["state"] in OUTCOMES:
        await subscription.close()
        replay = b"".join(map(_sse, recorded(row, after=after)))
        return Response(replay, 200, {"cache-control": "no-cache"}, "text/event-stream")
    return answers.EventStream(_stream(subscription, life_s=life_s), subscription.abandon)


def _cursor(request: Request) -> int:
    field, value = "Last-Event-ID", request.headers.get("last-event-id")
    if not value:
        field, value = "after", request.query_params.get("after") or "0"
    if not value.isascii() or not value.isdigit() or len(value) > CURSOR_DIGITS:
        raise bad_field(field, "is the id of an event, a whole number")
    return cursor_in_range(int(value), field=field)


async def _stream(subscription: Subscription, *, life_s: float | None) -> AsyncIterator[bytes]:
    clock = asyncio.get_running_loop().time
    until = math.inf if life_s is None else clock() + life_s
    try:
        yield b"retry: 1000\n\n"
        while not subscription.ended and clock() < until:
            events = await subscription.batch(timeout_s=KEEP_ALIVE_S)
            yield b"".join(map(_sse, events)) if events else b": keep-alive\n\n"
    finally:
        await subscription.close()


def _sse(event: Event) -> bytes:
    data = f'{{"text":{event.data}}}' if event.kind == "text" else event.data
    return f"id: {event.seq}\nevent: {event.kind}\ndata: {data}\n\n".encode()


def recorded(row: Row, *, after: int) -> list[Event]:
    """From behind `after`, an ended task whose log has left Redis: its text (and its logprobs) as one event, its outcome."""
    outcome: dict[str, Any] = {"state": row["state"]}
    if row["finish_reason"]:
        outcome["finish_reason"] = row["finish_reason"]
    if row["error"]:
        outcome["error"] = row["error"]
    if row["tool_calls"]:
        outcome["tool_calls"] = row["tool_calls"]
    outcome["usage"] = {"prompt_tokens": row["prompt_tokens"], "completion_tokens": row["completion_tokens"]}
    if row["cached_tokens"]:
        outcome["usage"]["cached_tokens"] = row["cached_tokens"]
    task = str(row["id"])
    text, end = json_text(row["output"]), msgspec.json.encode(outcome).decode()
    told = row.get("logprobs")
    if after == 0:
        first = [Event(task, 1, "logprobs", told)] if told else []
        return [*first, Event(task, 1 + len(first), "text", text), Event(task, CURSOR_MAX, "outcome", end)]
    # The numbers of the log are gone, so what this reader has is not known: it is given all of it anew.
    anew = [Event(task, CURSOR_MAX - 1, "text", text)]
    if told:
        anew.insert(0, Event(task, CURSOR_MAX - 2, "logprobs", told))
    anew.insert(0, Event(task, CURSOR_MAX - 1 - len(anew), "restart", "{}"))
    return [event for event in (*anew, Event(task, CURSOR_MAX, "outcome", end)) if event.seq > after]
