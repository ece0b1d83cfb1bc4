"""A task as the queue takes it. Pure; the same for a fresh task and for one that the sweep brings back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from taskqueue.messages import ChatMessage, SamplingParams, Submission, TurnBody

CHARS_PER_TOKEN = 4
"""A rough estimate before the tokenizer has seen the prompt; fair share corrects it when the turn ends."""


def body_of(messages: Sequence[dict[str, Any]], params: dict[str, Any]) -> TurnBody:
    """Messages and parameters as they lie in Postgres."""
    return TurnBody(
        messages=tuple(msgspec.convert(message, ChatMessage) for message in messages),
        params=msgspec.convert(params, SamplingParams),
    )


def estimated_tokens(body: TurnBody) -> int:
    """What a turn may cost: its prompt by length, its answer by the budget's half."""
    prompt = sum(len(message.content) for message in body.messages) + len(body.prompt or "")
    return prompt // CHARS_PER_TOKEN + body.params.max_tokens // 2 + 1


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
    is_new: bool = False,
) -> Submission:
    """The message for `enqueue`."""
    return Submission(
        turn=turn,
        task=task,
        tenant=tenant,
        key=key,
        body=body,
        weight=weight,
        priority=priority,
        deadline_ms=deadline_ms,
        estimated_tokens=estimated_tokens(body),
        max_waiting=max_waiting,
        pool_max_waiting=pool_max_waiting,
        max_running=max_running,
        key_max_waiting=key_max_waiting,
        key_max_running=key_max_running,
        inbox=inbox,
        is_new=is_new,
    )
