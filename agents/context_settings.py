"""What becomes of a context that is too long: an agent's setting, a task's over it, and the rule that goes to the worker. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from agents.problems import bad_field
from taskqueue.messages import ContextRule

TOKENS_MAX = 100_000_000
KEEP_LAST_MAX = 10_000


class ContextSetting(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`fail` refuses what is too long, `trim` leaves the oldest messages out.

    `max_tokens` bounds prompt and answer together; null: the model's own length alone does. `keep_last`: so many of the last
    messages are never left out.
    """

    strategy: Literal["fail", "trim"] = "fail"
    max_tokens: Annotated[int, Meta(ge=2, le=TOKENS_MAX)] | None = None
    keep_last: Annotated[int, Meta(ge=1, le=KEEP_LAST_MAX)] = 1


def checked_context(given: Any, *, field: str = "context") -> dict[str, Any]:
    """A setting as it is stored, empty where nothing was said; or the problem that names what does not fit."""
    if not given:
        return {}
    plain: dict[str, Any] = msgspec.to_builtins(_setting(given, field=field))
    return plain


def rule_of(agents: Mapping[str, Any], asked: Mapping[str, Any], *, field: str = "context") -> ContextRule | None:
    """The rule of a task: what it asked for, over its agent's setting. None where neither says anything."""
    together = {**agents, **asked}
    if not together:
        return None
    one = _setting(together, field=field)
    return ContextRule(strategy=one.strategy, max_tokens=one.max_tokens, keep_last=one.keep_last)


def trims(options: Mapping[str, Any]) -> bool:
    """Whether a task with these options is trimmed, as they lie in Postgres."""
    return bool((options.get("context") or {}).get("strategy") == "trim")


def _setting(given: Any, *, field: str) -> ContextSetting:
    try:
        return msgspec.convert(given, ContextSetting)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        named = place.strip(".`")
        known = ", ".join(ContextSetting.__struct_fields__)
        raise bad_field(f"{field}.{named}" if named else field, f"{message}; known are {known}") from error
