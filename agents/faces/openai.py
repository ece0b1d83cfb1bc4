"""The OpenAI-compatible face: chat completions, streamed or whole, and refusals in its form.

What is not supported is refused by its name (agents.faces.requests.ChatRequest). A text event's data is a JSON string literal
already, so a chunk is the task's prefix, that literal, and a suffix.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any, Protocol

import msgspec
from channels.db import database_sync_to_async
from django.db import InterfaceError, OperationalError
from starlette.requests import Request
from starlette.responses import Response

from agents import waits
from agents.faces import answers, database, leaving, openai_forms, openai_logprobs, openai_tools
from agents.faces.context import Context
from agents.faces.principals import AgentRef, Principal
from agents.faces.requests import ChatRequest, TaskRequest, decode
from agents.faces.submit import submit_to
from agents.faces.submitted import Submitted
from agents.problems import Problem, bad_field, no_model, stream_lost, unavailable
from agents.services import agent_of_pool
from taskqueue.inbox import Subscription
from taskqueue.messages import INVALID_OUTPUT, Event, ToolCall

KEEP_ALIVE_S = 15.0
_TYPES = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
          413: "invalid_request_error", 422: "invalid_request_error", 429: "rate_limit_error"}  # fmt: skip
_FINISH = {"length": "length", "tool_calls": "tool_calls"}
_FAILURE_STATUS = {"context_length_exceeded": 400, "unsupported_output": 400, INVALID_OUTPUT: 422}


class Outcome(msgspec.Struct):
    """The part of an outcome event that OpenAI's form shows."""

    state: str
    finish_reason: str | None = None
    error: dict[str, str] | None = None
    usage: dict[str, int] = {}
    tool_calls: tuple[ToolCall, ...] = ()


def failure(problem: Problem) -> Response:
    """A refusal in OpenAI's form."""
    return answers.json(error_of(problem), problem.status, problem.headers())


def error_of(problem: Problem) -> dict[str, Any]:
    """The body of a refusal."""
    return {
        "error": {
            "message": openai_forms.in_openais_words(problem.detail),
            "type": _TYPES.get(problem.status, "server_error"),
            "param": openai_forms.in_openais_words(problem.errors[0].field) if problem.errors else None,
            "code": problem.code,
            **({"output": problem.more["output"]} if "output" in problem.more else {}),
        }
    }


async def chat(context: Context, request: Request) -> Response:
    """`POST /v1/chat/completions`."""
    principal = await context.directory.principal(request.headers.get("authorization"))
    principal.require("tasks:write")
    wanted = decode(await answers.body_of(request, context.body_limit), ChatRequest)
    agent = await agent_of(context, principal, wanted.model)
    task = task_request(wanted, agent, idempotency_key=request.headers.get("idempotency-key"))
    submitted = await submit_to(context, principal, agent, task, follow=True)
    created = int(time.time())
    if wanted.stream:
        include_usage = wanted.stream_options is not None and wanted.stream_options.include_usage
        stream = _followed(submitted)
        return answers.EventStream(
            _chunks(context, submitted, created, wanted.model, include_usage=include_usage),
            stream.abandon,
            _headers(submitted),
        )
    if not submitted.ends_with_client:
        return await _whole(submitted, created, wanted.model)
    watching = asyncio.create_task(_abandon_when_left(request, _followed(submitted)), name="until the client leaves")
    try:
        return await _whole(submitted, created, wanted.model)
    finally:
        watching.cancel()
        if _followed(submitted).abandoned:
            await leaving.end(context, [submitted])


async def _abandon_when_left(request: Request, stream: Subscription) -> None:
    await answers.until_left(request.receive)
    stream.abandon()


def task_request(wanted: ChatRequest, agent: AgentRef, *, idempotency_key: str | None) -> TaskRequest:
    """A chat completion as the task that answers it."""
    return TaskRequest(
        agent=agent.slug,
        messages=[openai_tools.message(index, message) for index, message in enumerate(wanted.messages)],
        parameters=_parameters(wanted),
        output=openai_forms.output(wanted.response_format),
        tools=openai_tools.tools(wanted),
        tool_choice=openai_tools.tool_choice(wanted),
        idempotency_key=idempotency_key,
        split_key=wanted.user or None,
        cancel_on_disconnect=wanted.cancel_on_disconnect,
    )


async def agent_of(context: Context, principal: Principal, model: str) -> AgentRef:
    """The model's name is an agent's, or that of a pool that the tenant may use."""
    agent = await context.directory.agent(principal.tenant, model)
    if agent is not None:
        return agent
    pools = {row["slug"] for row in await context.db.all(database.POOLS, principal.tenant)}
    if model not in pools:
        raise no_model(model)
    try:
        slug = await database_sync_to_async(agent_of_pool)(tenant_id=principal.tenant, pool_slug=model)
    except (OperationalError, InterfaceError) as error:
        raise unavailable("The database") from error
    agent = await context.directory.agent(principal.tenant, slug)
    if agent is None:
        raise Problem(503, "unavailable", "The pool's agent was just made; try again.", retry_after_s=1)
    return agent


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
        "logprobs": openai_logprobs.asked(wanted),
    }
    return {name: value for name, value in given.items() if value is not None}


def _headers(submitted: Submitted) -> dict[str, str]:
    return {"x-request-id": str(submitted.task), **submitted.headers, **waits.headers(submitted.place)}


def _followed(submitted: Submitted) -> Subscription:
    if submitted.followed is None:
        raise RuntimeError("a chat completion follows its task")
    return submitted.followed


class Chunk(Protocol):
    """Formats one chunk of a stream: `delta`, `finish_reason` and `logprobs` are JSON text."""

    def __call__(self, delta: str, finish_reason: str = "null", logprobs: str = "null") -> bytes: ...


def _formatter(submitted: Submitted, created: int, model: str) -> Chunk:
    head = msgspec.json.encode(
        {"id": f"chatcmpl-{submitted.task}", "object": "chat.completion.chunk", "created": created, "model": model}
    ).decode()[:-1]
    prefix = f'data: {head},"choices":[{{"index":0,"delta":'

    def chunk(delta: str, finish_reason: str = "null", logprobs: str = "null") -> bytes:
        return f'{prefix}{delta},"logprobs":{logprobs},"finish_reason":{finish_reason}}}]}}\n\n'.encode()

    return chunk


async def _chunks(
    context: Context, submitted: Submitted, created: int, model: str, *, include_usage: bool
) -> AsyncIterator[bytes]:
    subscription = _followed(submitted)
    chunk = _formatter(submitted, created, model)
    logprobs = openai_logprobs.Logprobs()
    try:
        yield chunk('{"role":"assistant","content":""}')
        while not subscription.ended:
            events = await subscription.batch(timeout_s=KEEP_ALIVE_S)
            if subscription.lost or any(event.kind == "restart" for event in events):
                # This form of a stream has no word for "forget what you have read": the client must ask again.
                yield b"data: " + msgspec.json.encode(error_of(stream_lost())) + b"\n\ndata: [DONE]\n\n"
                return
            pieces = []
            for event in events:
                if event.kind == "logprobs":
                    logprobs.take(event.data)
                elif event.kind == "text" and event.data != '""':
                    pieces.append(chunk(f'{{"content":{event.data}}}', logprobs=logprobs.release()))
            if events and events[-1].kind == "outcome":
                rest = logprobs.release()
                pieces.append(
                    _ending(events[-1], chunk, submitted, created, model, logprobs=rest, include_usage=include_usage)
                )
            if pieces or not events:
                yield b"".join(pieces) if pieces else b": keep-alive\n\n"
    finally:
        try:
            if subscription.abandoned:
                await leaving.end(context, [submitted])
        finally:
            await subscription.close()


def _ending(
    event: Event,
    chunk: Chunk,
    submitted: Submitted,
    created: int,
    model: str,
    *,
    logprobs: str,
    include_usage: bool,
) -> bytes:
    outcome = msgspec.json.decode(event.data, type=Outcome)
    if not has_answer(outcome):
        return b"data: " + msgspec.json.encode(error_of(problem_of(outcome))) + b"\n\ndata: [DONE]\n\n"
    ending = b""
    if outcome.tool_calls:
        wanted = msgspec.json.encode({"tool_calls": openai_tools.calls(outcome.tool_calls, indexed=True)}).decode()
        ending += chunk(wanted)
    ending += chunk("{}", f'"{_FINISH.get(outcome.finish_reason or "", "stop")}"', logprobs)
    if include_usage:
        ending += b"data: " + msgspec.json.encode(
            {
                "id": f"chatcmpl-{submitted.task}",
                "object": "chat.completion.chunk",
                "created": created,
                "model": model,
                "choices": [],
                "usage": _usage(outcome),
            }
        ) + b"\n\n"  # fmt: skip
    return ending + b"data: [DONE]\n\n"


async def _whole(submitted: Submitted, created: int, model: str) -> Response:
    pieces: list[str] = []
    logprobs = openai_logprobs.Logprobs()
    outcome = Outcome("failed")
    subscription = _followed(submitted)
    try:
        async for event in subscription:
            if event.kind in ("restart", "tool_calls"):  # the answer is what the last turn says
                pieces.clear()
                logprobs.release()
            elif event.kind == "logprobs":
                logprobs.take(event.data)
            elif event.kind == "text":
                pieces.append(msgspec.json.decode(event.data, type=str))
            elif event.kind == "outcome":
                outcome = msgspec.json.decode(event.data, type=Outcome)
    finally:
        await subscription.close()
    if subscription.lost:
        return failure(stream_lost())
    text = "".join(pieces)
    if not has_answer(outcome):
        return failure(problem_of(outcome, text=text))
    answer = completion(
        task=submitted.task, created=created, model=model, text=text, outcome=outcome, logprobs=logprobs.release()
    )
    return answers.json(answer, headers=_headers(submitted))


def completion(
    *, task: uuid.UUID, created: int, model: str, text: str, outcome: Outcome, logprobs: str = "null"
) -> dict[str, Any]:
    """The whole answer of a task that has one; `created` is in seconds since 1970, `logprobs` JSON text."""
    return {
        "id": f"chatcmpl-{task}",
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": _answer(text, outcome),
                "logprobs": msgspec.Raw(logprobs.encode()),
                "finish_reason": _FINISH.get(outcome.finish_reason or "", "stop"),
            }
        ],
        "usage": _usage(outcome),
    }


def _answer(text: str, outcome: Outcome) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if outcome.tool_calls:
        message["tool_calls"] = openai_tools.calls(outcome.tool_calls)
        message["content"] = text or None
    return message


def _usage(outcome: Outcome) -> dict[str, int]:
    prompt, completion = outcome.usage.get("prompt_tokens", 0), outcome.usage.get("completion_tokens", 0)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def has_answer(outcome: Outcome) -> bool:
    """Whether the task succeeded; or its answer had a form to keep and was cut by its limit: `length` is its finish reason here."""
    code = (outcome.error or {}).get("code")
    return outcome.state == "succeeded" or (code == INVALID_OUTPUT and outcome.finish_reason == "length")


def problem_of(outcome: Outcome, *, text: str = "") -> Problem:
    """Why a task has no answer; `text` is what there is of one."""
    if outcome.error:
        code = outcome.error.get("code", "failed")
        more = {"output": text} if code == INVALID_OUTPUT and text else None
        return Problem(
            _FAILURE_STATUS.get(code, 500), code, outcome.error.get("message", "The task failed."), more=more
        )
    return Problem(409, outcome.state, f"The task was {outcome.state} before it succeeded.")
