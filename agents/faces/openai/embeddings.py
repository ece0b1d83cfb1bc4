"""The OpenAI-compatible face: embeddings. What is not supported is refused by its name (agents.faces.requests.EmbeddingRequest)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from agents import waits
from agents.embedding import checked_texts, require_embedding
from agents.faces import answers, leaving
from agents.faces.context import Context
from agents.faces.openai.choices import abandon_when_left
from agents.faces.openai.embedded import Embedded, embedded, submit_texts
from agents.faces.openai.lookup import agent_of
from agents.faces.principals import Principal
from agents.faces.requests import EmbeddingRequest, decode
from agents.faces.submitted import Submitted
from agents.problems import bad_field
from taskqueue.vectors import decoded

TRUNCATED = "x-truncated"
"""A header that is there where texts were cut, as the request allowed."""


async def embeddings(context: Context, request: Request) -> Response:
    """`POST /v1/embeddings`."""
    principal = await context.directory.principal(request.headers.get("authorization"))
    principal.require("tasks:write")
    wanted = decode(await answers.body_of(request, context.body_limit), EmbeddingRequest)
    if wanted.dimensions is not None:
        raise bad_field("dimensions", "not supported here: a model's vectors have their own length")
    agent = await agent_of(context, principal, wanted.model)
    require_embedding(agent.engine, field="model")
    given = [wanted.input] if isinstance(wanted.input, str) else wanted.input
    submitted = await submit_texts(
        context,
        principal,
        agent,
        checked_texts(given, field="input"),
        truncate=wanted.truncate,
        idempotency_key=request.headers.get("idempotency-key"),
        cancel_on_disconnect=wanted.cancel_on_disconnect,
    )
    result = await _answered(context, request, principal, submitted)
    return answers.json(_form(result, wanted), headers=_headers(submitted, result))


async def _answered(context: Context, request: Request, principal: Principal, submitted: Submitted) -> Embedded:
    """The vectors; if the client leaves before, and the task is to end with it, it is cancelled."""
    if not submitted.ends_with_client or submitted.followed is None:
        return await embedded(context, principal, submitted)
    watching = asyncio.create_task(abandon_when_left(request, [submitted]), name="until the client leaves")
    try:
        return await embedded(context, principal, submitted)
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        if submitted.followed.abandoned:
            await leaving.end(context, [submitted])


def _form(result: Embedded, wanted: EmbeddingRequest) -> dict[str, Any]:
    vectors: list[Any] = result.vectors
    if wanted.encoding_format == "float":
        vectors = [decoded(vector) for vector in result.vectors]
    return {
        "object": "list",
        "model": wanted.model,
        "data": [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)],
        "usage": {"prompt_tokens": result.prompt_tokens, "total_tokens": result.prompt_tokens},
    }


def _headers(submitted: Submitted, result: Embedded) -> dict[str, str]:
    headers = {"x-request-id": str(submitted.task), **submitted.headers, **waits.headers(submitted.place)}
    return {**headers, TRUNCATED: "true"} if result.truncated else headers
