"""The items of a response's input as messages: what was said, calls that the model made, and what they brought. Pure.

An assistant's text and its calls are items of their own there, and one message here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from agents.faces.requests import MessageIn, ToolCallIn, convert
from agents.problems import Problem, bad_field

S = TypeVar("S", bound=msgspec.Struct)


class ItemPart(msgspec.Struct, frozen=True):
    """A part of an item's content: `input_text`, or `output_text` of an earlier answer."""

    type: str
    text: str | UnsetType = UNSET


class ResponseItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message of the input; an item of an earlier response's output may be given back as it came. `id` and `status` change
    nothing here.
    """

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[ItemPart]
    type: Literal["message"] = "message"
    id: str | None = None
    status: str | None = None


class FunctionCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call that the model made, given back as it came. `id` and `status` change nothing here."""

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str
    id: str | None = None
    status: str | None = None


class FunctionCallOutput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a call brought. `id` and `status` change nothing here."""

    type: Literal["function_call_output"]
    call_id: str
    output: str | list[ItemPart]
    id: str | None = None
    status: str | None = None


_KINDS: dict[str, type[ResponseItem | FunctionCall | FunctionCallOutput]] = {
    "message": ResponseItem,
    "function_call": FunctionCall,
    "function_call_output": FunctionCallOutput,
}


def messages_of(items: str | list[dict[str, Any]]) -> list[MessageIn]:
    """The input as messages; raises the `Problem` of an item that is none, or that is not served."""
    if isinstance(items, str):
        return [MessageIn("user", items)]
    if not items:
        raise bad_field("input", "at least one item is needed")
    said: list[MessageIn] = []
    for index, given in enumerate(items):
        match _item(given, f"input[{index}]"):
            case FunctionCall() as call:
                _add_call(said, ToolCallIn(call.call_id, call.name, call.arguments))
            case FunctionCallOutput() as brought:
                text = _text(brought.output, f"input[{index}].output")
                said.append(MessageIn("tool", text, tool_call_id=brought.call_id))
            case ResponseItem() as item:
                role = "system" if item.role == "developer" else item.role
                said.append(MessageIn(role, _text(item.content, f"input[{index}].content")))
    return said


def check_calls(messages: Iterable[MessageIn], history: Sequence[Mapping[str, Any]] = ()) -> None:
    """Each output answers a call that came before it, and each call has its output: the model is to know what it brought."""
    answered = {message.get("tool_call_id") for message in history}
    called = [call["id"] for message in history for call in message.get("tool_calls") or ()]
    unanswered = [call for call in called if call not in answered]
    for message in messages:
        if message.role == "tool":
            if message.tool_call_id not in unanswered:
                raise bad_field("input", f"there is no call {message.tool_call_id!r} that waits for its output")
            unanswered.remove(message.tool_call_id)
        unanswered += [call.id for call in message.tool_calls]
    if unanswered:
        raise bad_field("input", f"the call {unanswered[0]!r} has no function_call_output behind it")


def _item(given: dict[str, Any], place: str) -> ResponseItem | FunctionCall | FunctionCallOutput:
    kind = given.get("type", "message")
    form = _KINDS.get(kind) if isinstance(kind, str) else None
    if form is None:
        raise bad_field(f"{place}.type", f"{kind!r} is not supported here; only {', '.join(map(repr, _KINDS))}")
    return at(place, given, form)


def at(place: str, given: dict[str, Any], form: type[S]) -> S:
    """A part of the request as `form`, or a problem that names the place."""
    try:
        return convert(given, form)
    except Problem as problem:
        (error,) = problem.errors
        raise bad_field(place if error.field == "body" else f"{place}.{error.field}", error.message) from problem


def _text(content: str | list[ItemPart], place: str) -> str:
    if isinstance(content, str):
        return content
    for position, part in enumerate(content):
        if part.type not in {"input_text", "output_text"}:
            raise bad_field(f"{place}[{position}].type", f"{part.type!r} is not supported here; only text")
        if part.text is UNSET:
            raise bad_field(f"{place}[{position}].text", "is required")
    return "".join(part.text for part in content if part.text is not UNSET)


def _add_call(said: list[MessageIn], call: ToolCallIn) -> None:
    """To what the assistant has just said, or to a message without a text."""
    if said and said[-1].role == "assistant":
        said[-1] = msgspec.structs.replace(said[-1], tool_calls=[*said[-1].tool_calls, call])
    else:
        said.append(MessageIn("assistant", tool_calls=[call]))
