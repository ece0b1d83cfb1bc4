"""The end of a task as OpenAI's forms show it: why it ended, what it took, or the refusal that it comes to. Pure."""

from __future__ import annotations

import msgspec

from agents.problems import Problem

_FINISH = {"length": "length"}
_FAILURE_STATUS = {"context_length_exceeded": 400}


class Outcome(msgspec.Struct):
    """The part of an outcome event that OpenAI's form shows."""

    state: str
    finish_reason: str | None = None
    error: dict[str, str] | None = None
    usage: dict[str, int] = {}


def finish_reason(outcome: Outcome) -> str:
    """In OpenAI's words."""
    return _FINISH.get(outcome.finish_reason or "", "stop")


def usage(outcome: Outcome) -> dict[str, int]:
    """Tokens, in OpenAI's words."""
    prompt, completion = outcome.usage.get("prompt_tokens", 0), outcome.usage.get("completion_tokens", 0)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def problem_of(outcome: Outcome) -> Problem:
    """Why a task that did not succeed has no answer."""
    if outcome.error:
        code = outcome.error.get("code", "failed")
        return Problem(_FAILURE_STATUS.get(code, 500), code, outcome.error.get("message", "The task failed."))
    return Problem(409, outcome.state, f"The task was {outcome.state} before it succeeded.")
