"""The endpoints that a batch's lines may name: how a line's body becomes tasks, and its ended tasks the endpoint's answer.

One table: an endpoint that is not in it is refused when a batch is made. Each reads by the reader of the endpoint itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import msgspec

from agents.embedding import require_generating
from agents.faces.as_response import AsResponse
from agents.faces.context import Context
from agents.faces.database import Row
from agents.faces.openai import chat, completions, embeddings, responses
from agents.faces.openai.chat_form import completion as chat_completion
from agents.faces.openai.completion_form import completion
from agents.faces.openai.completion_request import CompletionRequest
from agents.faces.openai.embedded import embedding_list, read, texts_request
from agents.faces.openai.gathering import Gathered
from agents.faces.openai.logprobs import choice
from agents.faces.openai.lookup import agent_of
from agents.faces.openai.naming import as_asked
from agents.faces.openai.outcome import Outcome, usage_of
from agents.faces.openai.response_form import Progress, shown
from agents.faces.openai.response_request import ResponseRequest
from agents.faces.principals import AgentRef, Principal
from agents.faces.requests import ChatRequest, EmbeddingRequest, TaskRequest, decode
from agents.problems import bad_field
from taskqueue.messages import ToolCall


class Work(NamedTuple):
    """What a line's body asks for: one task or more, which are accepted together. `model` is the name by which it does.

    `naming` puts refusals of the tasks in the request's own words. `asked` is what `Endpoint.answer` needs of the request.
    """

    agent: AgentRef
    requests: Sequence[TaskRequest]
    model: str
    naming: AbstractContextManager[None]
    response: AsResponse | None = None
    asked: dict[str, Any] | None = None


class Ended(NamedTuple):
    """A line all of whose tasks have an answer: what `Work` said of it, and the tasks' rows in `statements.RESULTS`, in order."""

    model: str
    asked: dict[str, Any] | None
    rows: Sequence[Row]

    @property
    def head(self) -> dict[str, Any]:
        """What completions begin with; the caller adds the id."""
        return {"created": int(self.rows[0]["created_at"].timestamp()), "model": self.model}

    @property
    def answers(self) -> list[Gathered]:
        return [Gathered(row["output"], outcome_of(row), logprobs=choice(row["logprobs"])) for row in self.rows]


class Asker:
    """Who asks, for lines that are looked at together: what a model's name stands for is asked once."""

    def __init__(self, context: Context, principal: Principal) -> None:
        self.context, self.principal = context, principal
        self._agents: dict[str, asyncio.Future[AgentRef]] = {}

    async def agent_of(self, model: str) -> AgentRef:
        """As `lookup.agent_of`."""
        if model not in self._agents:
            self._agents[model] = asyncio.ensure_future(agent_of(self.context, self.principal, model))
        return await self._agents[model]

    async def generating_agent_of(self, model: str) -> AgentRef:
        """As `lookup.generating_agent_of`."""
        agent = await self.agent_of(model)
        require_generating(agent.engine, field="model")
        return agent


class Endpoint(NamedTuple):
    """`work` takes a body and the line's idempotency key, and raises the `Problem` that refuses it."""

    work: Callable[[Asker, bytes, str], Awaitable[Work]]
    answer: Callable[[Ended], dict[str, Any]]


def outcome_of(row: Row) -> Outcome:
    """How a task ended, in the form of its last event."""
    return Outcome(
        state=row["state"],
        finish_reason=row["finish_reason"],
        error=row["error"],
        usage=usage_of(row),
        tool_calls=msgspec.convert(row["tool_calls"] or (), tuple[ToolCall, ...]),
    )


async def _chat_work(asker: Asker, body: bytes, key: str) -> Work:
    wanted = decode(body, ChatRequest)
    _refuse_stream(wanted.stream)
    agent = (await asker.generating_agent_of(wanted.model)).serving(key=wanted.user or key)
    return Work(agent, chat.task_requests(wanted, agent, idempotency_key=key), wanted.model, chat.named(wanted))


def _chat_answer(ended: Ended) -> dict[str, Any]:
    return chat_completion({"id": f"chatcmpl-{ended.rows[0]['task']}", **ended.head}, ended.answers)


async def _completion_work(asker: Asker, body: bytes, key: str) -> Work:
    wanted = decode(body, CompletionRequest)
    _refuse_stream(wanted.stream)
    agent = (await asker.generating_agent_of(wanted.model)).serving(key=wanted.user or key)
    requests = completions.task_requests(wanted, agent, idempotency_key=key)
    asked = {"echoed": completions.echoed(wanted)} if wanted.echo else None
    return Work(agent, requests, wanted.model, as_asked(), asked=asked)


def _completion_answer(ended: Ended) -> dict[str, Any]:
    echoed = ended.asked["echoed"] if ended.asked else [""] * len(ended.rows)
    return completion({"id": f"cmpl-{ended.rows[0]['task']}", **ended.head}, ended.answers, echoed=echoed)


async def _embedding_work(asker: Asker, body: bytes, key: str) -> Work:
    wanted = decode(body, EmbeddingRequest)
    agent = await asker.agent_of(wanted.model)
    texts = embeddings.texts_of(wanted, agent)
    request = texts_request(agent, texts, truncate=wanted.truncate, idempotency_key=key)
    return Work(agent, [request], wanted.model, as_asked(), asked={"encoding": wanted.encoding_format})


def _embedding_answer(ended: Ended) -> dict[str, Any]:
    encoding = (ended.asked or {})["encoding"]
    return embedding_list(read(ended.answers[0]), model=ended.model, encoding=encoding)


async def _response_work(asker: Asker, body: bytes, key: str) -> Work:
    wanted = decode(body, ResponseRequest)
    _refuse_stream(wanted.stream)
    if wanted.background:
        raise bad_field("background", "is not supported in a batch, which is in the background as a whole")
    agent = await asker.generating_agent_of(wanted.model)
    request = responses.task_request(wanted, agent, idempotency_key=key)
    response = await responses.as_response(asker.context, asker.principal, wanted)
    without_input = msgspec.to_builtins(msgspec.structs.replace(wanted, input=""))
    return Work(agent, [request], wanted.model, responses.named(), response, without_input)


def _response_answer(ended: Ended) -> dict[str, Any]:
    wanted, row = msgspec.convert(ended.asked, ResponseRequest), ended.rows[0]
    asked = responses.asked_by(wanted, row["task"], {**row, "metadata": dict(wanted.metadata or {})})
    progress = Progress(running=True, outcome=outcome_of(row), text=row["output"], ended_at=row["finished_at"])
    return shown(asked, progress)


def _refuse_stream(stream: bool | None) -> None:
    if stream:
        raise bad_field("stream", "is not supported in a batch")


ENDPOINTS: dict[str, Endpoint] = {
    "/v1/chat/completions": Endpoint(_chat_work, _chat_answer),
    "/v1/completions": Endpoint(_completion_work, _completion_answer),
    "/v1/embeddings": Endpoint(_embedding_work, _embedding_answer),
    "/v1/responses": Endpoint(_response_work, _response_answer),
}
