"""The tools of a revision: as they are written there, checked, and as the model is told of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from agents.money import MAX_COST
from agents.problems import bad_field
from agents.tools.builtins import Builtin, spec_of
from taskqueue.messages import ToolSpec

TOOLS_MAX = 64
COST_DIGITS = 6
"""Decimals of a limit of money."""


class Chosen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of the tenant's own tools, by its name."""

    tool: str


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How far one task of an agent may go: model calls, tokens in and out of all of them, seconds since it was accepted, money."""

    max_turns: int = 10
    max_tokens: int = 0
    max_seconds: float = 0.0
    max_cost: Decimal = Decimal(0)


def tool_names(tools: Sequence[dict[str, Any]]) -> list[str]:
    """The tenant's own among them."""
    return [tool["tool"] for tool in tools if "tool" in tool]


def builtin(tools: Sequence[dict[str, Any]], name: str) -> Builtin | None:
    """One of Opsite's among them."""
    return next((msgspec.convert(tool, Builtin) for tool in tools if tool.get("builtin") == name), None)


def specs(tools: Sequence[dict[str, Any]], own: Mapping[str, ToolSpec]) -> tuple[ToolSpec, ...]:
    """What the model is told. One that the tenant has deleted since is left out: a call of it would fail."""
    found = []
    for tool in tools:
        if "builtin" in tool:
            found.append(spec_of(msgspec.convert(tool, Builtin)))
        elif (spec := own.get(tool["tool"])) is not None:
            found.append(spec)
    return tuple(found)


def checked_tools(
    tools: Any, *, known: Sequence[str], agents: Sequence[str], field: str = "tools"
) -> list[dict[str, Any]]:
    """A revision's tools, or the problem that names the one that does not fit. `known`, `agents`: the tenant's."""
    if not isinstance(tools, list):
        raise bad_field(field, "must be a list")
    if len(tools) > TOOLS_MAX:
        raise bad_field(field, f"at most {TOOLS_MAX}")
    names: list[str] = []
    for index, tool in enumerate(tools):
        here = f"{field}[{index}]"
        form: type[Builtin | Chosen] = Builtin if isinstance(tool, dict) and "builtin" in tool else Chosen
        try:
            one: Builtin | Chosen = msgspec.convert(tool, form)
        except msgspec.ValidationError as error:
            raise bad_field(here, f'{error}; write {{"tool": "<name>"}} or {{"builtin": "<name>"}}') from error
        if isinstance(one, Chosen):
            if one.tool not in known:
                raise bad_field(here, f"there is no tool {one.tool!r}; there are {', '.join(known) or 'none yet'}")
            names.append(one.tool)
        else:
            _check_builtin(one, agents=agents, here=here)
            names.append(one.builtin)
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise bad_field(field, f"{twice!r} stands there twice")
    return tools


def _check_builtin(one: Builtin, *, agents: Sequence[str], here: str) -> None:
    if one.builtin == "hand_off" and not one.agents:
        raise bad_field(f"{here}.agents", "name the agents that work may be handed over to")
    if one.builtin == "knowledge_search" and not one.collections:
        raise bad_field(f"{here}.collections", "name the collections that may be searched")
    if unknown := [agent for agent in one.agents if agent not in agents]:
        raise bad_field(f"{here}.agents", f"there is no agent {unknown[0]!r}")


def checked_limits(limits: Any, *, field: str = "limits") -> dict[str, Any]:
    """A revision's limits, or the problem that names the one that does not fit."""
    try:
        known = msgspec.convert(limits, Limits)
    except msgspec.ValidationError as error:
        raise bad_field(field, f"{error}; known are {', '.join(Limits.__struct_fields__)}") from error
    if not 1 <= known.max_turns <= 200:
        raise bad_field(f"{field}.max_turns", "must be between 1 and 200")
    if known.max_tokens < 0 or known.max_seconds < 0:
        raise bad_field(field, "must not be negative; 0 means none")
    plain: dict[str, Any] = msgspec.to_builtins(known)
    plain.pop("max_cost", None)
    return {**plain, "max_cost": checked_cost(known.max_cost, field=f"{field}.max_cost")} if known.max_cost else plain


def checked_cost(amount: Decimal, *, field: str) -> str:
    """A limit of money as it is stored: text, exact, in one spelling. Raises the problem where it does not fit."""
    if not amount.is_finite() or not 0 < amount <= MAX_COST:
        raise bad_field(field, f"must be above 0 and at most {MAX_COST:,}; 0 means none")
    if amount != round(amount, COST_DIGITS):
        raise bad_field(field, f"has more than {COST_DIGITS} decimals")
    return f"{round(amount, COST_DIGITS).normalize():f}"
