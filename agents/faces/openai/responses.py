"""`POST /v1/responses`: a response is a task, which may continue another's context, and may be left to run in the background.

What is not supported is refused by its name (agents.faces.openai.response_request).
"""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from agents.context_settings import trims
from agents.faces import answers
from agents.faces.as_response import AsResponse
from agents.faces.context import Context
from agents.faces.openai import response_request
from agents.faces.openai.choices import all_gathered
from agents.faces.openai.following import followed, headers
from agents.faces.openai.lookup import generating_agent_of
from agents.faces.openai.naming import as_asked
from agents.faces.openai.response_form import Asked, Progress, shown, task_of
from agents.faces.openai.response_request import ResponseRequest
from agents.faces.openai.response_store import context_behind, progress_of
from agents.faces.openai.response_stream import told
from agents.faces.principals import Principal
from agents.faces.requests import TaskRequest, decode
from agents.faces.submit import submit_to
from agents.faces.submitted import Submitted
from agents.lifecycle import TaskState

_CONVERSATION = "conv_"


async def create(context: Context, request: Request) -> Response:
    """`POST /v1/responses`."""
    principal = await context.directory.principal(request.headers.get("authorization"))
    principal.require("tasks:write")
    wanted = decode(await answers.body_of(request, context.body_limit), ResponseRequest)
    response_request.check(wanted)
    messages = response_request.messages(wanted)
    agent = await generating_agent_of(context, principal, wanted.model)
    background = bool(wanted.background)
    task = TaskRequest(
        agent=agent.slug,
        messages=messages,
        conversation=_conversation(wanted),
        parameters=response_request.parameters(wanted),
        context=response_request.context(wanted),
        metadata=dict(wanted.metadata or {}),
        idempotency_key=request.headers.get("idempotency-key"),
        split_key=wanted.user or None,
        cancel_on_disconnect=False if background else wanted.cancel_on_disconnect,
    )
    response = await _as_response(context, principal, wanted)
    with as_asked(response_request.NAMES):
        submitted = await submit_to(
            context, principal, agent, task, follow=bool(wanted.stream) or not background, response=response
        )
    asked = _asked(wanted, submitted)
    if wanted.stream:
        stream = told(context, submitted, asked)
        return answers.EventStream(stream, followed(submitted).abandon, headers(submitted))
    if background:
        earlier = submitted.row["state"] != TaskState.QUEUED  # by its idempotency key
        progress = await progress_of(context, principal, submitted.row) if earlier else Progress()
        return answers.json(shown(asked, progress), headers=headers(submitted))
    (whole,) = await all_gathered(context, request, [submitted])
    progress = Progress(running=True, outcome=whole.outcome, text=whole.text)
    return answers.json(shown(asked, progress), headers=headers(submitted))


async def _as_response(context: Context, principal: Principal, wanted: ResponseRequest) -> AsResponse:
    previous = wanted.previous_response_id
    history = () if previous is None else await context_behind(context, principal, previous)
    limits = {} if wanted.max_output_tokens is None else {"max_output_tokens": wanted.max_output_tokens}
    return AsResponse(
        instructions=wanted.instructions or "",
        history=history,
        stored=None
        if wanted.store is False
        else {
            "model": wanted.model,
            "previous": None if previous is None else task_of(previous),
            "instructions": wanted.instructions,
            "background": bool(wanted.background),
            "asked": limits,
        },
        asked=msgspec.to_builtins(wanted),
    )


def _conversation(wanted: ResponseRequest) -> str | None:
    """One of Opsite's; OpenAI's prefix is taken, too."""
    if wanted.conversation is None:
        return None
    name = wanted.conversation if isinstance(wanted.conversation, str) else wanted.conversation.id
    return name.removeprefix(_CONVERSATION)


def _asked(wanted: ResponseRequest, submitted: Submitted) -> Asked:
    row: dict[str, Any] = submitted.row
    previous: uuid.UUID | None = None if wanted.previous_response_id is None else task_of(wanted.previous_response_id)
    return Asked(
        task=submitted.task,
        created_at=row["created_at"],
        model=wanted.model,
        instructions=wanted.instructions,
        previous=previous,
        conversation=row["conversation"],
        background=bool(wanted.background),
        stored=wanted.store is not False,
        metadata=row["metadata"],
        params=row["params"],
        truncates=trims(row["options"]),
        asked={} if wanted.max_output_tokens is None else {"max_output_tokens": wanted.max_output_tokens},
    )
