"""A person's answer to an agent that asked: `POST /api/v1/tasks/{id}/answers`."""

from __future__ import annotations

import logging

from starlette.requests import Request
from starlette.responses import Response

from agents.faces import answers, database
from agents.faces.context import Context
from agents.faces.found import find, public
from agents.faces.requests import AnswerRequest, decode
from agents.submissions import TOOLS_CHANNEL
from agents.tool_services import NothingAsked
from agents.tools.results import Result, event_of
from taskqueue.failures import QueueUnavailable

log = logging.getLogger(__name__)


async def answer(context: Context, request: Request) -> Response:
    """202: the task goes on with what the person said."""
    principal = await context.directory.principal(request.headers.get("authorization"))
    principal.require("tasks:write")
    given = decode(await answers.body_of(request, context.body_limit), AnswerRequest)
    row = await find(context, principal, request.path_params["id"])
    answered = await context.db.one(database.ANSWER_CALL, given.answer, principal.tenant, row["id"], given.call)
    if answered is None:
        raise NothingAsked(given.call)
    await context.db.run("SELECT pg_notify(%s, '')", TOOLS_CHANNEL)
    event = event_of(given.call, answered["name"], Result(given.answer))
    try:
        await context.hub.queue(row["pool"]).note(str(row["id"]), "tool_result", event, once=given.call)
    except QueueUnavailable as error:  # the answer is kept: who asked again would be told that nothing waits
        log.warning("the stream of task %s shows the answer when the task goes on: %s", row["id"], error)
    return answers.json(public(row), 202)
