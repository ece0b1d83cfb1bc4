"""`POST /v1/chat/completions`: from OpenAI's request to a task for each choice, and the answer, streamed or whole.

What is not supported is refused by its name (agents.faces.requests.ChatRequest).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from agents.faces import answers
from agents.faces.context import Context
from agents.faces.openai import chat_tools, logprobs, response_format
from agents.faces.openai.chat_form import ChatForm, completion
from agents.faces.openai.choices import all_gathered, several, wanted_n
from agents.faces.openai.chunks import chunks, left_by_client
from agents.faces.openai.following import headers
from agents.faces.openai.lookup import generating_agent_of
from agents.faces.openai.naming import as_asked
from agents.faces.openai.tool_choices import chosen
from agents.faces.principals import AgentRef
from agents.faces.requests import ChatRequest, TaskRequest, decode
from agents.faces.submit import submit_together
from agents.problems import bad_field
from tenants.identifiers import new_id


async def chat(context: Context, request: Request) -> Response:
    """`POST /v1/chat/completions`."""
    principal = await context.directory.principal(request.headers.get("authorization"))
    principal.require("tasks:write")
    wanted = decode(await answers.body_of(request, context.body_limit), ChatRequest)
    key = request.headers.get("idempotency-key")
    agent = (await generating_agent_of(context, principal, wanted.model)).serving(
        key=wanted.user or key or str(new_id())
    )
    tasks = task_requests(wanted, agent, idempotency_key=key)
    with named(wanted):
        choices = await submit_together(context, principal, agent, tasks, follow=True)
    head = {"id": f"chatcmpl-{choices[0].task}", "created": int(time.time()), "model": wanted.model}
    if wanted.stream:
        include_usage = wanted.stream_options is not None and wanted.stream_options.include_usage
        said = {**head, "object": "chat.completion.chunk"}
        stream = chunks(context, choices, said, ChatForm(), include_usage=include_usage)
        return answers.EventStream(stream, partial(left_by_client, choices), headers(choices[0]))
    whole = await all_gathered(context, request, choices)
    return answers.json(completion(head, whole), headers=headers(choices[0]))


@contextmanager
def named(wanted: ChatRequest) -> Iterator[None]:
    """A problem with what the tasks ask for names the request's own field."""
    names = {"max_tokens": "max_tokens" if wanted.max_completion_tokens is None else "max_completion_tokens"}
    with as_asked(names, tools_in="function."), response_format.form_as_asked():
        yield


def task_requests(wanted: ChatRequest, agent: AgentRef, *, idempotency_key: str | None) -> list[TaskRequest]:
    """A chat completion as the tasks that answer it, one for each choice."""
    called = chosen(wanted.tool_choice, parallel=wanted.parallel_tool_calls)
    task = TaskRequest(
        agent=agent.slug,
        messages=[chat_tools.message(index, message) for index, message in enumerate(wanted.messages)],
        parameters=_parameters(wanted),
        output=response_format.output(wanted.response_format),
        tools=chat_tools.tools(wanted),
        **called._asdict(),
        idempotency_key=idempotency_key,
        split_key=wanted.user or None,
        cancel_on_disconnect=wanted.cancel_on_disconnect,
    )
    return several(task, agent, wanted_n(wanted.n))


def _parameters(wanted: ChatRequest) -> dict[str, Any]:
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
        "logprobs": logprobs.asked(wanted),
    }
    return {name: value for name, value in given.items() if value is not None}
