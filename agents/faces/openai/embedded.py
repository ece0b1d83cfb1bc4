"""Texts as vectors, by a task of the fair queue as any other: submitted here, and waited for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from msgspec import UNSET, UnsetType

from agents.faces.context import Context
from agents.faces.openai.gathering import Gathered, gathered
from agents.faces.openai.outcome import problem_of
from agents.faces.principals import AgentRef, Principal
from agents.faces.requests import TaskRequest
from agents.faces.submit import submit_to
from agents.faces.submitted import Submitted
from agents.problems import Problem, stream_lost
from taskqueue.vectors import BadVectors, decoded, strings


class Embedded(NamedTuple):
    """One vector for each text, in base64 (`taskqueue.vectors`). `truncated`: at least one text was cut."""

    vectors: list[str]
    prompt_tokens: int
    truncated: bool


async def submit_texts(
    context: Context,
    principal: Principal,
    agent: AgentRef,
    texts: Sequence[str],
    *,
    truncate: bool = False,
    priority: int = 5,
    idempotency_key: str | None = None,
    cancel_on_disconnect: bool | UnsetType = UNSET,
) -> Submitted:
    """Accept the task, followed; raises the `Problem` that refuses it."""
    request = texts_request(
        agent,
        texts,
        truncate=truncate,
        priority=priority,
        idempotency_key=idempotency_key,
        cancel_on_disconnect=cancel_on_disconnect,
    )
    return await submit_to(context, principal, agent, request, follow=True)


def texts_request(
    agent: AgentRef,
    texts: Sequence[str],
    *,
    truncate: bool = False,
    priority: int = 5,
    idempotency_key: str | None = None,
    cancel_on_disconnect: bool | UnsetType = UNSET,
) -> TaskRequest:
    """The task that embeds them."""
    return TaskRequest(
        agent=agent.slug,
        embed=list(texts),
        truncate=truncate or UNSET,
        priority=priority,
        idempotency_key=idempotency_key,
        cancel_on_disconnect=cancel_on_disconnect,
    )


async def embedded(submitted: Submitted) -> Embedded:
    """Wait for the task's answer. Raises the `Problem` that its failure is, 503 where its stream was lost."""
    answer = await gathered(submitted)
    if answer.outcome is None:
        raise stream_lost()
    if answer.outcome.state != "succeeded":
        raise problem_of(answer.outcome)
    return read(answer)


def read(answer: Gathered) -> Embedded:
    """A whole answer of a task that succeeded."""
    if answer.outcome is None:
        raise stream_lost()
    try:
        vectors = strings(answer.text)
    except BadVectors as error:
        raise Problem(500, "bad_vectors", f"The model's answer cannot be read: {error}") from error
    return Embedded(vectors, answer.outcome.usage.get("prompt_tokens", 0), answer.outcome.finish_reason == "length")


def embedding_list(result: Embedded, *, model: str, encoding: Literal["float", "base64"]) -> dict[str, Any]:
    """The vectors in the form of OpenAI's API."""
    vectors: list[Any] = result.vectors
    if encoding == "float":
        vectors = [decoded(vector) for vector in result.vectors]
    return {
        "object": "list",
        "model": model,
        "data": [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)],
        "usage": {"prompt_tokens": result.prompt_tokens, "total_tokens": result.prompt_tokens},
    }
