"""Which tools the model is to call, in OpenAI's forms: that of chat completions, and that of responses. Pure."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from agents.faces.requests import ChatAllowedTools, ChatToolChoice


class FunctionChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="function"):
    """The one function to call, in the form of responses."""

    name: str


class AllowedTools(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="allowed_tools"):
    """`allowed_tools` in the form of responses."""

    mode: Literal["auto", "required"]
    tools: list[FunctionChoice]


ToolChoice = Literal["auto", "none", "required"] | FunctionChoice | AllowedTools


class Chosen(NamedTuple):
    """As a task has it: `tool_choice`, `allowed_tools`, `parallel_tool_calls`."""

    tool_choice: str
    allowed_tools: list[str] | UnsetType
    parallel_tool_calls: bool | UnsetType


def chosen(choice: ToolChoice | ChatToolChoice | ChatAllowedTools | None, *, parallel: bool | None) -> Chosen:
    """A named function is called once. What asks for nothing is left out."""
    several = False if parallel is False else UNSET
    match choice:
        case ChatToolChoice():
            return Chosen("required", [choice.function.name], False)
        case FunctionChoice():
            return Chosen("required", [choice.name], False)
        case ChatAllowedTools():
            allowed = choice.allowed_tools
            return Chosen(allowed.mode, [tool.function.name for tool in allowed.tools], several)
        case AllowedTools():
            return Chosen(choice.mode, [tool.name for tool in choice.tools], several)
    return Chosen(choice or "auto", UNSET, several)


def plain(choice: ToolChoice | None) -> Any:
    """The choice as it is told again."""
    return "auto" if choice is None else msgspec.to_builtins(choice)
