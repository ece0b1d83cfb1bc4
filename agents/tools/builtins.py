"""The tools that Opsite brings: their options in a revision, and what the model is told of them. Pure."""

from __future__ import annotations

from typing import Any, Literal, get_args

import msgspec

from taskqueue.messages import ToolSpec

BuiltinName = Literal["calculator", "current_time", "knowledge_search", "hand_off", "ask_human"]


BUILTINS = frozenset(get_args(BuiltinName))


class Builtin(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One of them in a revision. `collections` for `knowledge_search`, `agents` for `hand_off`: slugs of the tenant's."""

    builtin: BuiltinName
    collections: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()


def spec_of(one: Builtin) -> ToolSpec:
    """What the model is told."""
    match one.builtin:
        case "calculator":
            return _spec(
                one,
                "Work out an arithmetic expression, such as (3 + 4) * 2 ** 8 or sqrt(2).",
                expression={
                    "type": "string",
                    "description": "Numbers, + - * / // % **, and sqrt, log, exp, sin, cos, round.",
                },
            )
        case "current_time":
            return _spec(
                one,
                "Say the current date and time.",
                optional=("timezone",),
                timezone={"type": "string", "description": "Such as Europe/Oslo; UTC if left out."},
            )
        case "knowledge_search":
            return _spec(
                one,
                "Search the organisation's documents for passages that answer a question.",
                query={"type": "string"},
                collection={"type": "string", "enum": list(one.collections)},
            )
        case "hand_off":
            return _spec(
                one,
                "Hand a piece of work over to another agent and wait for its answer.",
                agent={"type": "string", "enum": list(one.agents)},
                message={"type": "string", "description": "All that it needs to know: it sees nothing else."},
            )
        case "ask_human":
            return _spec(one, "Ask a person and wait for the answer.", question={"type": "string"})


def _spec(one: Builtin, description: str, *, optional: tuple[str, ...] = (), **properties: dict[str, Any]) -> ToolSpec:
    schema = {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }
    return ToolSpec(one.builtin, description, schema)
