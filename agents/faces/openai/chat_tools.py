"""Tools between OpenAI's form and the service's: what a request offers and says, what an answer wants called. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET

from agents.faces.requests import ChatFunction, ChatMessageIn, ChatRequest, MessageIn, ToolCallIn, ToolIn
from agents.problems import bad_field
from taskqueue.messages import ToolCall


def message(index: int, said: ChatMessageIn) -> MessageIn:
    """One message of the request; parts of text are put together, no others are understood."""
    role = "system" if said.role == "developer" else said.role
    if said.content is None and not said.tool_calls:
        raise bad_field(f"messages[{index}].content", "is required, but in an assistant's message with tool_calls")
    calls = [ToolCallIn(call.id, call.function.name, call.function.arguments) for call in said.tool_calls or ()]
    return MessageIn(role, _text(index, said), calls, said.tool_call_id or "")


def _text(index: int, said: ChatMessageIn) -> str:
    if isinstance(said.content, str) or said.content is None:
        return said.content or ""
    for position, part in enumerate(said.content):
        if part.type != "text":
            raise bad_field(
                f"messages[{index}].content[{position}].type", f"{part.type!r} is not supported here; only text"
            )
    return "".join(part.text for part in said.content)


def tools(wanted: ChatRequest) -> list[ToolIn]:
    """The functions that the client offers to call."""
    return [_tool(tool.function) for tool in wanted.tools or ()]


def _tool(function: ChatFunction) -> ToolIn:
    strict = True if function.strict else UNSET
    return ToolIn(function.name, function.description or "", function.parameters or {}, strict)


def calls(wanted: Sequence[ToolCall], *, indexed: bool = False) -> list[dict[str, Any]]:
    """What the model wants called; in a stream's chunks each call has its index."""
    return [
        {
            **({"index": index} if indexed else {}),
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for index, call in enumerate(wanted)
    ]
