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
    """`fail` refuses what is too long, `trim` leaves the oldest messages out, `summarise` has the model sum them up.

    `max_tokens` bounds prompt and answer together; null: the model's own length alone does. `keep_last`: so many of the last
    messages are neither left out nor summed up; null: 1, or 4 where it summarises. A conversation is summed up from the share
    `summarise_at` of the limit on, in at most `summary_tokens`.
    """

    strategy: Literal["fail", "trim", "summarise"] = "fail"
    max_tokens: Annotated[int, Meta(ge=2, le=TOKENS_MAX)] | None = None
    keep_last: Annotated[int, Meta(ge=1, le=KEEP_LAST_MAX)] | None = None
    summarise_at: Annotated[float, Meta(ge=0.1, le=1)] = 0.7
    summary_tokens: Annotated[int, Meta(ge=16, le=TOKENS_MAX)] = 512

    @property
    def kept(self) -> int:
        """`keep_last`, or what stands for it."""
        return self.keep_last or (4 if self.strategy == "summarise" else 1)

    @property
    def rule(self) -> ContextRule:
        """As the worker gets it: what was not summarised is trimmed there, but for the last message, whatever its length."""
        trims = self.strategy != "fail"
        keep_last = 1 if self.keep_last is None else self.keep_last
        return ContextRule(strategy="trim" if trims else "fail", max_tokens=self.max_tokens, keep_last=keep_last)


def checked_context(given: Any, *, field: str = "context") -> dict[str, Any]:
    """A setting as it is stored, empty where nothing was said; or the problem that names what does not fit."""
    if not given:
        return {}
    plain: dict[str, Any] = msgspec.to_builtins(_setting(given, field=field))
    return plain


def setting_of(agents: Mapping[str, Any], asked: Mapping[str, Any], *, field: str = "context") -> ContextSetting | None:
    """A task's: what it asked for, over its agent's setting. None where neither says anything."""
    together = {**agents, **asked}
    return _setting(together, field=field) if together else None


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
