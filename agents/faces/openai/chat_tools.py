"""Tools between OpenAI's form and the service's: what a request offers and says, what an answer wants called. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agents.faces.requests import ChatMessageIn, ChatRequest, ChatTool, MessageIn, ToolCallIn, ToolIn
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
    if wanted.parallel_tool_calls is False and wanted.tools:
        raise bad_field("parallel_tool_calls", "false is not supported here: a model may call several at once")
    return [_tool(index, tool) for index, tool in enumerate(wanted.tools or ())]


def _tool(index: int, tool: ChatTool) -> ToolIn:
    function = tool.function
    if function.strict:
        raise bad_field(f"tools[{index}].function.strict", "true is not supported here: arguments are not enforced")
    return ToolIn(function.name, function.description or "", function.parameters or {})


def tool_choice(wanted: ChatRequest) -> str:
    """Which of them the model is to call."""
    choice = wanted.tool_choice
    if choice is None:
        return "auto"
    if choice in ("auto", "none"):
        return str(choice)
    raise bad_field("tool_choice", "only `auto` and `none` are supported here")


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
