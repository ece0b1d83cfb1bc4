"""`POST /v1/embeddings`: from OpenAI's request to the task that embeds, and its vectors.

What is not supported is refused by its name (agents.faces.requests.EmbeddingRequest).
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from agents.embedding import checked_texts, require_embedding
from agents.faces import answers
from agents.faces.context import Context
from agents.faces.openai.choices import all_gathered
from agents.faces.openai.embedded import embedding_list, read, submit_texts
from agents.faces.openai.following import headers
from agents.faces.openai.lookup import agent_of
from agents.faces.principals import AgentRef
from agents.faces.requests import EmbeddingRequest, decode
from agents.problems import bad_field

TRUNCATED = {"x-truncated": "true"}
"""A header that is there where texts were cut, as the request allowed."""


async def embeddings(context: Context, request: Request) -> Response:
    """`POST /v1/embeddings`."""
    principal = await context.directory.principal(request.headers.get("authorization"))
    principal.require("tasks:write")
    wanted = decode(await answers.body_of(request, context.body_limit), EmbeddingRequest)
    agent = await agent_of(context, principal, wanted.model)
    submitted = await submit_texts(
        context,
        principal,
        agent,
        texts_of(wanted, agent),
        truncate=wanted.truncate,
        idempotency_key=request.headers.get("idempotency-key"),
        cancel_on_disconnect=wanted.cancel_on_disconnect,
    )
    (answer,) = await all_gathered(context, request, [submitted])
    result = read(answer)
    return answers.json(
        embedding_list(result, model=wanted.model, encoding=wanted.encoding_format),
        headers={**headers(submitted), **(TRUNCATED if result.truncated else {})},
    )


def texts_of(wanted: EmbeddingRequest, agent: AgentRef) -> list[str]:
    """What is to be embedded; raises the `Problem` of a request that is not served."""
    if wanted.dimensions is not None:
        raise bad_field("dimensions", "not supported here: a model's vectors have their own length")
    require_embedding(agent.engine, field="model")
    return checked_texts([wanted.input] if isinstance(wanted.input, str) else wanted.input, field="input")
