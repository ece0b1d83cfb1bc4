"""The end of a task as OpenAI's forms show it: why it ended, what it took, or the refusal that it comes to. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from agents.problems import Problem
from taskqueue.messages import INVALID_OUTPUT, ToolCall

_FINISH = {"length": "length", "tool_calls": "tool_calls"}
_FAILURE_STATUS = {
    **dict.fromkeys(
        (
            "context_length_exceeded",
            "empty_prompt",
            "chat_template_missing",
            "chat_template_error",
            "wrong_kind_of_model",
            "unsupported_output",
        ),
        400,
    ),
    INVALID_OUTPUT: 422,
}
"""Failures of a task for which its sender can do something."""


class Outcome(msgspec.Struct):
    """The part of an outcome event that OpenAI's form shows."""

    state: str
    finish_reason: str | None = None
    error: dict[str, str] | None = None
    usage: dict[str, int] = {}
    tool_calls: tuple[ToolCall, ...] = ()


class _Calls(msgspec.Struct):
    """The part of an event `tool_calls` or `summary` that counts here."""

    usage: dict[str, int] = {}


class Turns:
    """Adds up what a task's turns took: each event `tool_calls` or `summary` tells of its own turn, the outcome of the last one."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    def take_calls(self, data: str) -> None:
        """A turn ended in calls of the agent's own tools, or in a summary of what was said before."""
        self._taken.update(msgspec.json.decode(data, type=_Calls).usage)

    def outcome(self, data: str) -> Outcome:
        """The task's outcome, with the usage of all its turns."""
        outcome = msgspec.json.decode(data, type=Outcome)
        return msgspec.structs.replace(outcome, usage=dict(self._taken + Counter(outcome.usage)))


def usage_of(row: Mapping[str, Any]) -> dict[str, int]:
    """Of an ended task's row, as its events tell it."""
    return {name: row[name] for name in ("prompt_tokens", "completion_tokens", "cached_tokens")}


def finish_reason(outcome: Outcome) -> str:
    """In OpenAI's words."""
    return _FINISH.get(outcome.finish_reason or "", "stop")


def usage(*outcomes: Outcome) -> dict[str, Any]:
    """Tokens of all choices, in OpenAI's words: each was a task of its own, so each counts its prompt."""
    prompt, completion, cached = (
        sum(outcome.usage.get(name, 0) for outcome in outcomes)
        for name in ("prompt_tokens", "completion_tokens", "cached_tokens")
    )
    counted = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {**counted, "prompt_tokens_details": {"cached_tokens": cached}} if cached else counted


def has_answer(outcome: Outcome) -> bool:
    """Whether the task succeeded; or its answer had a form to keep and was cut by its limit: `length` is its finish reason here."""
    code = (outcome.error or {}).get("code")
    return outcome.state == "succeeded" or (code == INVALID_OUTPUT and outcome.finish_reason == "length")


def problem_of(outcome: Outcome, *, text: str = "") -> Problem:
    """Why a task has no answer; `text` is what there is of one."""
    if outcome.error:
        code = outcome.error.get("code", "failed")
        more = {"output": text} if code == INVALID_OUTPUT and text else None
        message = outcome.error.get("message", "The task failed.")
        return Problem(_FAILURE_STATUS.get(code, 500), code, message, more=more)
    return Problem(409, outcome.state, f"The task was {outcome.state} before it succeeded.")
