"""Summaries of what was said before in a conversation: when one is due, how it is asked for, and where it stands. Pure.

The web process has no tokenizer. It goes by the tokens that the engine counted in the last task that the pool answered in the
conversation, and by characters for what is new; where that is wrong, the worker's exact trimming is the safety net.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from agents.context_settings import ContextSetting
from agents.submissions import CHARS_PER_TOKEN
from taskqueue.messages import ChatMessage, ContextRule, SamplingParams, TurnBody

INSTRUCTION = (
    "You keep the memory of a conversation. Write down what was said in it, so that it can be continued by somebody who reads only "
    "your summary: facts, names, numbers, decisions, wishes, and what is still open. Be brief. Write the summary and nothing else."
)
REQUEST = "Write the summary of the conversation above."
HEADING = "Summary of what was said before in this conversation:\n"


class Measured(NamedTuple):
    """The last answer of a pool in a conversation: tokens of its prompt and of itself, the limit of both, messages left out."""

    prompt_tokens: int
    completion_tokens: int
    limit: int | None
    dropped: int


class Plan(msgspec.Struct, frozen=True):
    """Which messages of a task's input a summary is to stand for: `count` of them from the index `first` on.

    `last` is the id of the last one; `tokens`: as many as the summary may have.
    """

    first: int
    count: int
    last: str
    tokens: int


def summary_message(text: str) -> dict[str, Any]:
    """The one message that stands for others."""
    return {"role": "system", "content": HEADING + text.strip()}


def plan_of(
    *,
    past: Sequence[Mapping[str, Any]],
    ids: Sequence[str],
    before: int,
    said: Sequence[Mapping[str, Any]],
    setting: ContextSetting,
    measured: Measured | None,
) -> Plan | None:
    """What is to be summarised before this task's answer; None: nothing.

    `past` are the conversation's messages as they are sent, a summary first where there is one, and `ids` their ids, empty for a
    summary. `before` messages stand before them in the input (the system prompt), and `said` behind them.
    """
    limit = min((most for most in (setting.max_tokens, measured and measured.limit) if most), default=None)
    if limit is None:
        return None
    tokens = _estimate(past) + _estimate(said)
    if measured is not None:  # others may have said something since, which it does not count
        tokens = max(tokens, measured.prompt_tokens + measured.completion_tokens + _estimate(said))
    if tokens <= setting.summarise_at * limit and not (measured and measured.dropped):
        return None
    end = max(0, len(past) - max(0, setting.kept - len(said)))
    while end < len(past) and past[end]["role"] != "user":  # an answer goes with its question
        end += 1
    if not any(ids[:end]):
        return None
    return Plan(first=before, count=end, last=ids[end - 1], tokens=setting.summary_tokens)


def with_summary(
    messages: Sequence[Mapping[str, Any]], ids: Sequence[str], summaries: Mapping[str, str]
) -> tuple[list[dict[str, Any]], list[str]]:
    """A conversation's messages and ids with the latest of its summaries in place of what it stands for.

    `summaries` are texts by the id of the last message that each stands for.
    """
    for index in range(len(ids) - 1, -1, -1):
        if (text := summaries.get(ids[index])) is not None:
            rest = [dict(message) for message in messages[index + 1 :]]
            return [summary_message(text), *rest], ["", *ids[index + 1 :]]
    return [dict(message) for message in messages], list(ids)


def replaced(messages: Sequence[dict[str, Any]], plan: Plan, text: str) -> list[dict[str, Any]]:
    """A task's input with a summary where the messages were that it stands for."""
    return [*messages[: plan.first], summary_message(text), *messages[plan.first + plan.count :]]


def summary_body(body: TurnBody, plan: Plan) -> TurnBody:
    """The turn that writes a summary, of a task whose first answer would have this body."""
    most = body.context.max_tokens if body.context else None
    return TurnBody(
        messages=(
            ChatMessage("system", INSTRUCTION),
            *body.messages[plan.first : plan.first + plan.count],
            ChatMessage("user", REQUEST),
        ),
        params=SamplingParams(max_tokens=plan.tokens, temperature=0.0),
        context=ContextRule(strategy="trim", max_tokens=most),
        summarises=plan.count,
        allowance=body.allowance,
    )


def _estimate(messages: Sequence[Mapping[str, Any]]) -> int:
    """Tokens by length."""
    return math.ceil(sum(len(message.get("content") or "") for message in messages) / CHARS_PER_TOKEN)
