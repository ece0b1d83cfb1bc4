"""The end of a task as OpenAI's forms show it: why it ended, what it took, or the refusal that it comes to. Pure."""

from __future__ import annotations

import msgspec

from agents.problems import Problem
from taskqueue.messages import ToolCall

_FINISH = {"length": "length", "tool_calls": "tool_calls"}
_FAILURE_STATUS = dict.fromkeys(
    ("context_length_exceeded", "empty_prompt", "chat_template_missing", "chat_template_error", "wrong_kind_of_model"),
    400,
)
"""Failures of a task for which its sender can do something."""


class Outcome(msgspec.Struct):
    """The part of an outcome event that OpenAI's form shows."""

    state: str
    finish_reason: str | None = None
    error: dict[str, str] | None = None
    usage: dict[str, int] = {}
    tool_calls: tuple[ToolCall, ...] = ()


def finish_reason(outcome: Outcome) -> str:
    """In OpenAI's words."""
    return _FINISH.get(outcome.finish_reason or "", "stop")


def usage(*outcomes: Outcome) -> dict[str, int]:
    """Tokens of all choices, in OpenAI's words: each was a task of its own, so each counts its prompt."""
    prompt = sum(outcome.usage.get("prompt_tokens", 0) for outcome in outcomes)
    completion = sum(outcome.usage.get("completion_tokens", 0) for outcome in outcomes)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def problem_of(outcome: Outcome) -> Problem:
    """Why a task that did not succeed has no answer."""
    if outcome.error:
        code = outcome.error.get("code", "failed")
        return Problem(_FAILURE_STATUS.get(code, 500), code, outcome.error.get("message", "The task failed."))
    return Problem(409, outcome.state, f"The task was {outcome.state} before it succeeded.")
