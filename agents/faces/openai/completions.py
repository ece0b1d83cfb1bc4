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
from agents.faces.openai.completion_form import CompletionForm, whole_choice
from agents.faces.openai.completion_request import CompletionRequest, parameters, prompts
from agents.faces.openai.following import headers
from agents.faces.openai.lookup import generating_agent_of
from agents.faces.openai.naming import as_asked
from agents.faces.openai.outcome import usage
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
    n, texts = wanted_n(wanted.n), prompts(wanted)
    common: dict[str, Any] = {
        "agent": agent.slug,
        "parameters": parameters(wanted, below=(agent.default_params, agent.params)),
        "idempotency_key": key,
        "split_key": wanted.user or None,
        "cancel_on_disconnect": wanted.cancel_on_disconnect,
    }
    tasks = [one for text in texts for one in several(TaskRequest(prompt=text, **common), agent, n)]
    with as_asked():
        choices = await submit_together(context, principal, agent, tasks, follow=True)
    head = {
        "id": f"cmpl-{choices[0].task}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": wanted.model,
    }
    echoed = [text if wanted.echo else "" for text in texts for _ in range(n)]
    if wanted.stream:
        include_usage = wanted.stream_options is not None and wanted.stream_options.include_usage
        stream = chunks(context, choices, head, CompletionForm(echoed), include_usage=include_usage)
        return answers.EventStream(stream, partial(left_by_client, choices), headers(choices[0]))
    whole = await all_gathered(context, request, choices)
    shown = [whole_choice(index, one, echoed=echoed[index]) for index, one in enumerate(whole)]
    counted = usage(*(one.outcome for one in whole if one.outcome))
    return answers.json({**head, "choices": shown, "usage": counted}, headers=headers(choices[0]))
