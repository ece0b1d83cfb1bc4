"""A task as the queue takes it. Pure; the same for a fresh task and for one that the sweep brings back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from agents.output_forms import restored
from taskqueue.messages import ChatMessage, SamplingParams, Submission, TurnBody

TOOLS_CHANNEL = "opsite_tools"
"""Postgres' NOTIFY: there are tool calls to make."""
CONVERSATIONS_CHANNEL = "opsite_conversations"
"""Postgres' NOTIFY: a task that waited for its conversation may run, or one is to end for another."""
CHARS_PER_TOKEN = 4
"""A rough estimate before the tokenizer has seen the prompt; fair share corrects it when the turn ends."""


def body_of(
    asked: str | Sequence[dict[str, Any]],
    params: dict[str, Any],
    options: dict[str, Any] | None = None,
    *,
    output_form: str = "",
    allowance: dict[str, int] | None = None,
) -> TurnBody:
    """What a task asks for as it lies in Postgres: messages, or a plain prompt as a string; parameters, options, output form.

    `allowance` is the turn's own, as its row has it.
    """
    given = msgspec.convert({**(options or {}), "params": params, "allowance": allowance}, TurnBody)
    rest = msgspec.structs.replace(given, output=restored(output_form))
    if isinstance(asked, str):
        return msgspec.structs.replace(rest, prompt=asked)
    messages = tuple(msgspec.convert(message, ChatMessage) for message in asked)
    return msgspec.structs.replace(rest, messages=messages)


def options_of(body: TurnBody) -> dict[str, Any]:
    """What of a body is neither messages nor parameters nor output form nor one turn's, to be stored; its inverse is `body_of`."""
    bare = msgspec.structs.replace(body, messages=(), prompt=None, params=SamplingParams(), output=None, allowance=None)
    plain: dict[str, Any] = msgspec.to_builtins(bare)
    return plain


def reserved_tokens(body: TurnBody) -> int:
    """What a turn takes of its tenant's budgets until it has ended: its prompt by length, and half of the most it may answer.

    Not what its agent's answers are like: a flood of requests that may answer at length must not pass for short ones.
    """
    if body.embed:
        return sum(map(len, body.embed)) // CHARS_PER_TOKEN + 1
    prompt = sum(map(_length, body.messages)) + len(body.prompt or "")
    prompt += sum(len(tool.name) + len(tool.description) + len(str(tool.parameters)) for tool in body.tools)
    return prompt // CHARS_PER_TOKEN + body.params.max_tokens // 2 + 1


def _length(message: ChatMessage) -> int:
    return len(message.content) + sum(len(call.name) + len(call.arguments) for call in message.tool_calls)


def estimated_tokens(body: TurnBody, *, answer_tokens: float | None = None) -> int:
    """What a turn is expected to cost: as reserved, but its answer by the agent's mean (`answer_tokens`) where that was measured.

    Fair share charges it at claim, and scaling counts it as work that waits.
    """
    if body.embed:
        return reserved_tokens(body)
    most = body.params.max_tokens
    answer = most // 2 if answer_tokens is None else min(most, math.ceil(answer_tokens))
    return reserved_tokens(body) - most // 2 + answer


def submission(
    *,
    turn: str,
    task: str,
    tenant: str,
    key: str = "",
    body: TurnBody,
    weight: float,
    priority: int = 5,
    deadline_ms: int = 0,
    max_waiting: int = 0,
    pool_max_waiting: int = 0,
    max_running: int = 0,
    key_max_waiting: int = 0,
    key_max_running: int = 0,
    inbox: str = "",
    answer_tokens: float | None = None,
    is_new: bool = False,
    trace: str = "",
) -> Submission:
    """The message for `enqueue`. `answer_tokens`: how long the agent's answers are on average. `trace`: as in the task's row."""
    return Submission(
        turn=turn,
        task=task,
        tenant=tenant,
        key=key,
        body=msgspec.structs.replace(body, trace=trace) if trace else body,
        weight=weight,
        priority=priority,
        deadline_ms=deadline_ms,
        estimated_tokens=estimated_tokens(body, answer_tokens=answer_tokens),
        max_waiting=max_waiting,
        pool_max_waiting=pool_max_waiting,
        max_running=max_running,
        key_max_waiting=key_max_waiting,
        key_max_running=key_max_running,
        inbox=inbox,
        is_new=is_new,
    )
