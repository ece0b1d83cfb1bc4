"""The endpoints that a batch's lines may name: how a line's body becomes a task, and an ended task the endpoint's answer.

One table: an endpoint that is not in it is refused when a batch is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from agents.faces.context import Context
from agents.faces.database import Row
from agents.faces.openai.chat import task_request
from agents.faces.openai.chat_form import completion
from agents.faces.openai.choices import wanted_n
from agents.faces.openai.gathering import Gathered
from agents.faces.openai.lookup import generating_agent_of
from agents.faces.openai.outcome import Outcome, usage_of
from agents.faces.principals import AgentRef, Principal
from agents.faces.requests import ChatRequest, TaskRequest, decode
from agents.problems import bad_field
from taskqueue.messages import ToolCall


class Work(NamedTuple):
    """What a line's body asks for. `model` is the name by which it does."""

    agent: AgentRef
    request: TaskRequest
    model: str


class Asker:
    """Who asks, for lines that are looked at together: what a model's name stands for is asked once."""

    def __init__(self, context: Context, principal: Principal) -> None:
        self.context, self.principal = context, principal
        self._agents: dict[str, asyncio.Future[AgentRef]] = {}

    async def agent_of(self, model: str) -> AgentRef:
        """As `lookup.generating_agent_of`."""
        if model not in self._agents:
            self._agents[model] = asyncio.ensure_future(generating_agent_of(self.context, self.principal, model))
        return await self._agents[model]


class Endpoint(NamedTuple):
    """`work` raises the `Problem` that refuses a body. `answer` takes a row of `statements.RESULTS` whose task has one."""

    work: Callable[[Asker, bytes], Awaitable[Work]]
    answer: Callable[[Row], dict[str, Any]]


async def _chat_work(asker: Asker, body: bytes) -> Work:
    wanted = decode(body, ChatRequest)
    if wanted.stream:
        raise bad_field("stream", "is not supported in a batch")
    if wanted.logprobs:
        raise bad_field("logprobs", "are not supported in a batch")
    if wanted_n(wanted.n) != 1:
        raise bad_field("n", "only 1 is supported in a batch; send the line again for another answer")
    agent = await asker.agent_of(wanted.model)
    return Work(agent, task_request(wanted, agent, idempotency_key=None), wanted.model)


def _chat_answer(row: Row) -> dict[str, Any]:
    created = int(row["created_at"].timestamp())
    head = {"id": f"chatcmpl-{row['task']}", "created": created, "model": row["model"]}
    return completion(head, [Gathered(row["output"], outcome_of(row))])


def outcome_of(row: Row) -> Outcome:
    """How a task ended, in the form of its last event."""
    return Outcome(
        state=row["state"],
        finish_reason=row["finish_reason"],
        error=row["error"],
        usage=usage_of(row),
        tool_calls=msgspec.convert(row["tool_calls"] or (), tuple[ToolCall, ...]),
    )


ENDPOINTS: dict[str, Endpoint] = {"/v1/chat/completions": Endpoint(_chat_work, _chat_answer)}
