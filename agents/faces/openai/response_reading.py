"""The responses that are stored: retrieve, follow, cancel, delete, and the items of their input."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from agents.faces import answers
from agents.faces.context import Context
from agents.faces.database import Row
from agents.faces.found import cancel, stream
from agents.faces.openai.following import followed
from agents.faces.openai.gathering import gathered
from agents.faces.openai.response_form import Progress, input_items, response_id, shown
from agents.faces.openai.response_query import following, items_page
from agents.faces.openai.response_store import asked_of, delete, find, progress_of
from agents.faces.openai.response_stream import told
from agents.faces.principals import Principal
from agents.faces.submitted import Submitted
from agents.problems import Problem, bad_field

CANCEL_S = 5.0
"""How long the answer to a cancellation waits for the worker to let the task go."""


async def retrieve(context: Context, request: Request) -> Response:
    """`GET /v1/responses/{id}`, as it is now, or as a stream from any place of it."""
    principal, row = await _found(context, request, "tasks:read")
    wish = following(request.query_params)
    if not wish.stream or request.method == "HEAD":
        progress = await progress_of(context, principal, row)
        return answers.json(shown(asked_of(row), progress))
    submitted = Submitted(row["id"], row, await stream(context, row))
    events = told(context, submitted, asked_of(row), after=wish.starting_after)
    return answers.EventStream(events, followed(submitted).abandon)


async def cancel_response(context: Context, request: Request) -> Response:
    """`POST /v1/responses/{id}/cancel`: 200 with what has become of it; one that has ended stays as it is."""
    principal, row = await _found(context, request, "tasks:write")
    if not row["background"]:
        raise bad_field(
            "id", "only a response with `background: true` can be cancelled; end the connection of any other"
        )
    progress = await progress_of(context, principal, row)
    if progress.outcome is None:
        submitted = Submitted(row["id"], row, await stream(context, row))
        await cancel(context, principal, str(row["id"]))
        progress = await _ended(context, principal, submitted)
    return answers.json(shown(asked_of(row), progress))


async def _ended(context: Context, principal: Principal, submitted: Submitted) -> Progress:
    """The end of what was told to end, or how far it is if that takes too long."""
    try:
        async with asyncio.timeout(CANCEL_S):
            text, outcome, running, *_ = await gathered(submitted)
            return Progress(running=running, outcome=outcome, text=text)
    except TimeoutError:
        return await progress_of(context, principal, submitted.row)


async def delete_response(context: Context, request: Request) -> Response:
    """`DELETE /v1/responses/{id}`: 200. One that has not ended is refused: it would go on unseen."""
    principal, row = await _found(context, request, "tasks:write")
    if (await progress_of(context, principal, row)).outcome is None:
        raise Problem(409, "in_use", "This response has not ended; cancel it or wait.")
    await delete(context, principal, row)
    return answers.json({"id": response_id(row["id"]), "object": "response", "deleted": True})


async def list_input_items(context: Context, request: Request) -> Response:
    """`GET /v1/responses/{id}/input_items`: what came with the request itself, the newest first."""
    _, row = await _found(context, request, "tasks:read")
    said: list[dict[str, Any]] = row["input"][-row["said"] :]
    return answers.json(items_page(input_items(row["id"], said), request.query_params))


async def _found(context: Context, request: Request, scope: str) -> tuple[Principal, Row]:
    principal = await context.directory.principal(request.headers.get("authorization"))
    principal.require(scope)
    return principal, await find(context, principal, request.path_params["id"])
