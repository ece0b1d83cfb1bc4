"""A response in the form of OpenAI's Responses API. Pure: the same for one that was just made and for one that was read."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from agents.faces.openai.outcome import Outcome, has_answer
from agents.problems import not_found
from taskqueue.messages import ToolCall

_PREFIX = "resp_"
_ENDED = {"succeeded": "completed", "cancelled": "cancelled"}


class Asked(NamedTuple):
    """What does not change in a response's life. `asked` as in agents.models.StoredResponse."""

    task: uuid.UUID
    created_at: datetime
    model: str
    instructions: str | None
    previous: uuid.UUID | None
    conversation: uuid.UUID | None
    background: bool
    stored: bool
    metadata: dict[str, Any]
    params: dict[str, Any]
    truncates: bool
    asked: dict[str, Any]


class Progress(NamedTuple):
    """How far it is. `text` counts once there is an outcome."""

    running: bool = False
    outcome: Outcome | None = None
    text: str = ""
    ended_at: datetime | None = None


def response_id(task: uuid.UUID | None) -> str | None:
    """The response's name of a task."""
    return None if task is None else f"{_PREFIX}{task}"


def task_of(name: str) -> uuid.UUID:
    """The task of a response's name, or 404."""
    try:
        return uuid.UUID(name.removeprefix(_PREFIX)) if name.startswith(_PREFIX) else _no_response()
    except ValueError:
        return _no_response()


def _no_response() -> uuid.UUID:
    raise not_found("response")


def message_id(task: uuid.UUID) -> str:
    """The name of the one message of its output."""
    return f"msg_{task}"


def status(progress: Progress) -> str:
    """In OpenAI's words."""
    if progress.outcome is None:
        return "in_progress" if progress.running else "queued"
    if is_cut_off(progress.outcome):
        return "incomplete"
    return _ENDED.get(progress.outcome.state, "failed")


def is_cut_off(outcome: Outcome) -> bool:
    """Whether the answer ended because it had all the tokens that it may have."""
    return has_answer(outcome) and outcome.finish_reason == "length"


def shown(asked: Asked, progress: Progress) -> dict[str, Any]:
    """The whole object."""
    outcome, now = progress.outcome, status(progress)
    limit = asked.asked.get("max_output_tokens")
    return {
        "id": response_id(asked.task),
        "object": "response",
        "created_at": int(asked.created_at.timestamp()),
        "completed_at": int(progress.ended_at.timestamp()) if now == "completed" and progress.ended_at else None,
        "status": now,
        "background": asked.background,
        "store": asked.stored,
        "model": asked.model,
        "output": output(asked.task, progress),
        "error": _error(outcome),
        "incomplete_details": {"reason": "max_output_tokens"} if now == "incomplete" else None,
        "usage": _usage(outcome),
        "instructions": asked.instructions,
        "previous_response_id": response_id(asked.previous),
        "conversation": {"id": str(asked.conversation)} if asked.conversation else None,
        "max_output_tokens": limit,
        "metadata": asked.metadata,
        "temperature": asked.params.get("temperature", 1.0),
        "top_p": asked.params.get("top_p", 1.0),
        "text": asked.asked.get("text", {"format": {"type": "text"}}),
        "tools": asked.asked.get("tools", []),
        "tool_choice": asked.asked.get("tool_choice", "auto"),
        "parallel_tool_calls": asked.asked.get("parallel_tool_calls", True),
        "truncation": "auto" if asked.truncates else "disabled",
    }


def output(task: uuid.UUID, progress: Progress) -> list[dict[str, Any]]:
    """A message and calls, once the answer has ended well; none before, and none of what failed."""
    outcome = progress.outcome
    if outcome is None or not has_answer(outcome):
        return []
    said = [message(task, progress.text, answered(outcome))] if has_message(outcome, progress.text) else []
    return [*said, *(function_call(call) for call in outcome.tool_calls)]


def has_message(outcome: Outcome, text: str) -> bool:
    """Whether the answer has one: where it has calls and says nothing beside, it has not."""
    return bool(text) or not outcome.tool_calls


def answered(outcome: Outcome) -> str:
    """The status of its message."""
    return "incomplete" if is_cut_off(outcome) else "completed"


def function_call(call: ToolCall, *, arguments: str | None = None, state: str = "completed") -> dict[str, Any]:
    """A call as an item; `arguments` are those that are there so far."""
    return {
        "id": f"fc_{call.id.removeprefix('call_')}",
        "type": "function_call",
        "call_id": call.id,
        "name": call.name,
        "arguments": call.arguments if arguments is None else arguments,
        "status": state,
    }


def message(task: uuid.UUID, text: str | None, state: str) -> dict[str, Any]:
    """The output's message; without content as long as `text` is None."""
    return {
        "id": message_id(task),
        "type": "message",
        "role": "assistant",
        "status": state,
        "content": [] if text is None else [text_part(text)],
    }


def text_part(text: str) -> dict[str, Any]:
    """The message's one part."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _error(outcome: Outcome | None) -> dict[str, str] | None:
    if outcome is None or has_answer(outcome) or outcome.state not in {"failed", "expired"}:
        return None
    said = outcome.error or {}
    return {
        "code": said.get("code", outcome.state),
        "message": said.get("message", f"The task {outcome.state} before it had an answer."),
    }


def _usage(outcome: Outcome | None) -> dict[str, Any] | None:
    if outcome is None:
        return None
    prompt, completion, cached = (
        outcome.usage.get(name, 0) for name in ("prompt_tokens", "completion_tokens", "cached_tokens")
    )
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + completion,
    }


def input_items(task: uuid.UUID, said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The request's own messages as items, in their order."""
    return [item for number, one in enumerate(said) for item in _items(f"{task}_{number}", one)]


def _items(place: str, one: dict[str, Any]) -> Iterator[dict[str, Any]]:
    calls = [ToolCall(**call) for call in one.get("tool_calls") or ()]
    if one["role"] == "tool":
        yield {
            "id": f"fco_{place}",
            "type": "function_call_output",
            "call_id": one["tool_call_id"],
            "output": one["content"],
            "status": "completed",
        }
    elif one["content"] or not calls:
        part = {"type": "input_text", "text": one["content"]}
        yield {
            "id": f"msg_{place}",
            "type": "message",
            "role": one["role"],
            "status": "completed",
            "content": [text_part(one["content"]) if one["role"] == "assistant" else part],
        }
    yield from map(function_call, calls)
