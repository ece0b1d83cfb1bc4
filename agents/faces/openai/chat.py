"""`POST /v1/chat/completions`: from OpenAI's request to a task, and its answer, streamed or whole.

What is not supported is refused by its name (agents.faces.requests.ChatRequest).
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from agents.faces import answers, leaving
from agents.faces.context import Context
from agents.faces.openai.chat_chunks import chunks
from agents.faces.openai.chat_whole import whole
from agents.faces.openai.following import abandon_when_left, followed, headers
from agents.faces.openai.lookup import agent_of
from agents.faces.requests import ChatMessageIn, ChatRequest, MessageIn, TaskRequest, decode
from agents.faces.submit import submit_to
from agents.problems import bad_field


async def chat(context: Context, request: Request) -> Response:
    """`POST /v1/chat/completions`."""
    principal = await context.directory.principal(request.headers.get("authorization"))
    principal.require("tasks:write")
    wanted = decode(await answers.body_of(request, context.body_limit), ChatRequest)
    agent = await agent_of(context, principal, wanted.model)
    task = TaskRequest(
        agent=agent.slug,
        messages=[_message(index, message) for index, message in enumerate(wanted.messages)],
        parameters=_parameters(wanted),
        idempotency_key=request.headers.get("idempotency-key"),
        cancel_on_disconnect=wanted.cancel_on_disconnect,
    )
    submitted = await submit_to(context, principal, agent, task, follow=True)
    created = int(time.time())
    if wanted.stream:
        include_usage = wanted.stream_options is not None and wanted.stream_options.include_usage
        return answers.EventStream(
            chunks(context, submitted, created, wanted.model, include_usage=include_usage),
            followed(submitted).abandon,
            headers(submitted),
        )
    if not submitted.ends_with_client:
        return await whole(submitted, created, wanted.model)
    watching = asyncio.create_task(abandon_when_left(request, followed(submitted)), name="until the client leaves")
    try:
        return await whole(submitted, created, wanted.model)
    finally:
        watching.cancel()
        if followed(submitted).abandoned:
            await leaving.end(context, [submitted])


def _message(index: int, message: ChatMessageIn) -> MessageIn:
    role = "system" if message.role == "developer" else message.role
    if isinstance(message.content, str):
        return MessageIn(role, message.content)
    for position, part in enumerate(message.content):
        if part.type != "text":
            raise bad_field(
                f"messages[{index}].content[{position}].type", f"{part.type!r} is not supported here; only text"
            )
    return MessageIn(role, "".join(part.text for part in message.content))


def _parameters(wanted: ChatRequest) -> dict[str, Any]:
    if wanted.n not in (None, 1):
        raise bad_field("n", "only 1 is supported here")
    if not wanted.messages:
        raise bad_field("messages", "at least one message is needed")
    given = {
        "max_tokens": wanted.max_completion_tokens if wanted.max_completion_tokens is not None else wanted.max_tokens,
        "temperature": wanted.temperature,
        "top_p": wanted.top_p,
        "top_k": wanted.top_k,
        "seed": wanted.seed,
        "stop": [wanted.stop] if isinstance(wanted.stop, str) else wanted.stop,
        "ignore_eos": wanted.ignore_eos,
    }
    return {name: value for name, value in given.items() if value is not None}
