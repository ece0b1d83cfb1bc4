"""The functions that a response's request offers to call, as a task has them and as they are told again. Pure."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET

from agents.faces.openai.response_items import at
from agents.faces.requests import ToolIn
from agents.problems import bad_field


class FunctionTool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A function; with `strict` the arguments of its calls fit its parameters. Left out it is false here."""

    type: Literal["function"]
    name: Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


def functions(given: list[dict[str, Any]] | None) -> list[FunctionTool]:
    """The request's `tools`; those that OpenAI would run itself are refused by their names."""
    found = []
    for index, one in enumerate(given or ()):
        if one.get("type") != "function":
            raise bad_field(f"tools[{index}].type", f"{one.get('type')!r} is not supported here; only 'function'")
        found.append(at(f"tools[{index}]", one, FunctionTool))
    return found


def tools(offered: list[FunctionTool]) -> list[ToolIn]:
    """As a task has them."""
    return [
        ToolIn(one.name, one.description or "", one.parameters or {}, True if one.strict else UNSET) for one in offered
    ]


def told(offered: list[FunctionTool]) -> list[dict[str, Any]]:
    """As they are told with the response."""
    return [
        {
            "type": "function",
            "name": one.name,
            "description": one.description,
            "parameters": one.parameters,
            "strict": bool(one.strict),
        }
        for one in offered
    ]
