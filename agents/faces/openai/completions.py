"""`POST /v1/completions`, the legacy form: plain prompts, for which no chat template is applied.

What is not supported is refused by its name (agents.faces.openai.completion_request).
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from agents.faces import answers
from agents.faces.context import Context
from agents.faces.openai.choices import all_gathered, several, wanted_n
from agents.faces.openai.chunks import chunks, left_by_client
from agents.faces.openai.completion_form import CompletionForm, completion
from agents.faces.openai.completion_request import CompletionRequest, parameters, prompts
from agents.faces.openai.following import headers
from agents.faces.openai.lookup import generating_agent_of
from agents.faces.openai.naming import as_asked
from agents.faces.principals import AgentRef
from agents.faces.requests import TaskRequest, decode
from agents.faces.submit import submit_together
from tenants.identifiers import new_id


async def complete(context: Context, request: Request) -> Response:
    """`POST /v1/completions`."""
    principal = await context.directory.principal(request.headers.get("authorization"))
    principal.require("tasks:write")
    wanted = decode(await answers.body_of(request, context.body_limit), CompletionRequest)
    key = request.headers.get("idempotency-key")
    agent = (await generating_agent_of(context, principal, wanted.model)).serving(
        key=wanted.user or key or str(new_id())
    )
    tasks = task_requests(wanted, agent, idempotency_key=key)
    with as_asked():
        choices = await submit_together(context, principal, agent, tasks, follow=True)
    head = {"id": f"cmpl-{choices[0].task}", "created": int(time.time()), "model": wanted.model}
    if wanted.stream:
        include_usage = wanted.stream_options is not None and wanted.stream_options.include_usage
        said = {**head, "object": "text_completion"}
        stream = chunks(context, choices, said, CompletionForm(echoed(wanted)), include_usage=include_usage)
        return answers.EventStream(stream, partial(left_by_client, choices), headers(choices[0]))
    whole = await all_gathered(context, request, choices)
    return answers.json(completion(head, whole, echoed=echoed(wanted)), headers=headers(choices[0]))


def task_requests(wanted: CompletionRequest, agent: AgentRef, *, idempotency_key: str | None) -> list[TaskRequest]:
    """A completion as the tasks that answer it: so many for each prompt as choices are wanted."""
    n = wanted_n(wanted.n)
    common: dict[str, Any] = {
        "agent": agent.slug,
        "parameters": parameters(wanted, below=(agent.default_params, agent.params)),
        "idempotency_key": idempotency_key,
        "split_key": wanted.user or None,
        "cancel_on_disconnect": wanted.cancel_on_disconnect,
    }
    return [one for text in prompts(wanted) for one in several(TaskRequest(prompt=text, **common), agent, n)]


def echoed(wanted: CompletionRequest) -> list[str]:
    """What comes before each choice's text: its prompt, if that was asked for."""
    return [text if wanted.echo else "" for text in prompts(wanted) for _ in range(wanted_n(wanted.n))]
