"""The endpoints that a batch's lines may name: how a line's body becomes a task, and an ended task the endpoint's answer.

One table: an endpoint that is not in it is refused when a batch is made.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from agents.faces import openai
from agents.faces.context import Context
from agents.faces.database import Row
from agents.faces.principals import AgentRef, Principal
from agents.faces.requests import ChatRequest, TaskRequest, decode
from agents.problems import bad_field
from taskqueue.messages import ToolCall


class Work(NamedTuple):
    """What a line's body asks for. `model` is the name by which it does."""

    agent: AgentRef
    request: TaskRequest
    model: str


class Endpoint(NamedTuple):
    """`work` raises the `Problem` that refuses a body. `answer` takes a row of `statements.RESULTS` whose task has one."""

    work: Callable[[Context, Principal, bytes], Awaitable[Work]]
    answer: Callable[[Row], dict[str, Any]]


async def _chat_work(context: Context, principal: Principal, body: bytes) -> Work:
    wanted = decode(body, ChatRequest)
    if wanted.stream:
        raise bad_field("stream", "is not supported in a batch")
    if wanted.logprobs:
        raise bad_field("logprobs", "are not supported in a batch")
    agent = await openai.agent_of(context, principal, wanted.model)
    return Work(agent, openai.task_request(wanted, agent, idempotency_key=None), wanted.model)


def _chat_answer(row: Row) -> dict[str, Any]:
    return openai.completion(
        task=row["task"],
        created=int(row["created_at"].timestamp()),
        model=row["model"],
        text=row["output"],
        outcome=outcome_of(row),
    )


def outcome_of(row: Row) -> openai.Outcome:
    """How a task ended, in the form of its last event."""
    return openai.Outcome(
        state=row["state"],
        finish_reason=row["finish_reason"],
        error=row["error"],
        usage={"prompt_tokens": row["prompt_tokens"], "completion_tokens": row["completion_tokens"]},
        tool_calls=msgspec.convert(row["tool_calls"] or (), tuple[ToolCall, ...]),
    )


ENDPOINTS: dict[str, Endpoint] = {"/v1/chat/completions": Endpoint(_chat_work, _chat_answer)}
