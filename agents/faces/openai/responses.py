"""`POST /v1/responses`: a response is a task, which may continue another's context, and may be left to run in the background.

What is not supported is refused by its name (agents.faces.openai.response_request).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request
from starlette.responses import Response

from agents.context_settings import trims
from agents.faces import answers
from agents.faces.as_response import AsResponse
from agents.faces.context import Context
from agents.faces.database import Row
from agents.faces.openai import response_request, response_tools
from agents.faces.openai.choices import all_gathered
from agents.faces.openai.following import followed, headers
from agents.faces.openai.lookup import generating_agent_of
from agents.faces.openai.naming import as_asked
from agents.faces.openai.response_form import Asked, Progress, shown, task_of
from agents.faces.openai.response_format import form_as_asked
from agents.faces.openai.response_items import check_calls
from agents.faces.openai.response_request import ResponseRequest
from agents.faces.openai.response_store import context_behind, progress_of
from agents.faces.openai.response_stream import told
from agents.faces.openai.tool_choices import chosen
from agents.faces.principals import AgentRef, Principal
from agents.faces.requests import TaskRequest, decode
from agents.faces.submit import submit_to
from agents.lifecycle import TaskState

_CONVERSATION = "conv_"


async def create(context: Context, request: Request) -> Response:
    """`POST /v1/responses`."""
    principal = await context.directory.principal(request.headers.get("authorization"))
    principal.require("tasks:write")
    wanted = decode(await answers.body_of(request, context.body_limit), ResponseRequest)
    agent = await generating_agent_of(context, principal, wanted.model)
    background = bool(wanted.background)
    task = task_request(wanted, agent, idempotency_key=request.headers.get("idempotency-key"))
    response = await as_response(context, principal, wanted)
    with named():
        submitted = await submit_to(
            context, principal, agent, task, follow=bool(wanted.stream) or not background, response=response
        )
    asked = asked_by(wanted, submitted.task, submitted.row)
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


@contextmanager
def named() -> Iterator[None]:
    """A problem with what the task asks for names the request's own field."""
    with as_asked(response_request.NAMES), form_as_asked("text.format", ".schema"):
        yield


def task_request(wanted: ResponseRequest, agent: AgentRef, *, idempotency_key: str | None) -> TaskRequest:
    """A response as the task that it is; raises the `Problem` of a request that is not served."""
    response_request.check(wanted)
    return TaskRequest(
        agent=agent.slug,
        messages=response_request.messages(wanted),
        conversation=_conversation(wanted),
        parameters=response_request.parameters(wanted),
        context=response_request.context(wanted),
        output=response_request.output(wanted.text),
        tools=response_tools.tools(response_tools.functions(wanted.tools)),
        **chosen(wanted.tool_choice, parallel=wanted.parallel_tool_calls)._asdict(),
        metadata=dict(wanted.metadata or {}),
        idempotency_key=idempotency_key,
        split_key=wanted.user or None,
        cancel_on_disconnect=False if wanted.background else wanted.cancel_on_disconnect,
    )


async def as_response(context: Context, principal: Principal, wanted: ResponseRequest) -> AsResponse:
    """What makes a response of its task; reads the context of the response that it continues."""
    previous = wanted.previous_response_id
    history = () if previous is None else await context_behind(context, principal, previous)
    check_calls(response_request.messages(wanted), history)
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
            "asked": response_request.told(wanted),
        },
        asked=response_request.words(wanted),
    )


def _conversation(wanted: ResponseRequest) -> str | None:
    """One of Opsite's; OpenAI's prefix is taken, too."""
    if wanted.conversation is None:
        return None
    name = wanted.conversation if isinstance(wanted.conversation, str) else wanted.conversation.id
    return name.removeprefix(_CONVERSATION)


def asked_by(wanted: ResponseRequest, task: uuid.UUID, row: Row) -> Asked:
    """What does not change in its life. `row`: its task's `created_at`, `conversation`, `metadata`, `params` and `options`."""
    previous: uuid.UUID | None = None if wanted.previous_response_id is None else task_of(wanted.previous_response_id)
    return Asked(
        task=task,
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
        asked=response_request.told(wanted),
    )
