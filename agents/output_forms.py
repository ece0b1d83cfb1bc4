"""What an answer must look like: the form as callers give it, its checks, and its text as it lies in Postgres. Pure.

Kept as text and not as `jsonb`, which would lose the order of a schema's properties: models write them in that order.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import msgspec

from agents.problems import bad_field
from agents.schemas import check_schema
from taskqueue.grammar import objection
from taskqueue.messages import OutputForm

REGEX_MAX = 4096
"""Characters of a regular expression."""

GUIDED_BY: dict[str, frozenset[str]] = {
    "vllm": frozenset({"json_schema", "json_object", "regex"}),
    "transformers": frozenset({"json_schema", "json_object", "regex"}),
    "simulated": frozenset({"json_schema", "json_object"}),
    "scripted": frozenset({"json_schema", "json_object", "regex"}),
}
"""The kinds of form that an engine can be held to, by the engine's name. What a script says is checked afterwards."""


class OutputIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the answer must look like. `text` is free text: it stands over the agent's own form."""

    kind: Literal["text", "json_schema", "json_object", "regex"]
    json_schema: dict[str, Any] | None = None
    regex: str | None = None


def converted(given: Any, *, field: str) -> OutputIn:
    """A form out of decoded JSON, or a problem that names what does not fit."""
    try:
        return msgspec.convert(given, OutputIn)
    except msgspec.ValidationError as error:
        said, _, place = str(error).partition(" - at `$")
        raise bad_field(field + place.rstrip("`"), said) from error


def checked(given: OutputIn, *, field: str) -> OutputForm | None:
    """The form as engines take it (None for `text`), or a problem that names what no engine could hold an answer to."""
    for name in ("json_schema", "regex"):
        if (getattr(given, name) is not None) != (given.kind == name):
            raise bad_field(f"{field}.{name}", f"belongs to the kind {name!r}, and this is {given.kind!r}")
    if given.kind == "text":
        return None
    return _checked(stored(OutputForm(given.kind, given.json_schema, given.regex or "")), field)


@lru_cache(maxsize=512)
def _checked(text: str, field: str) -> OutputForm | None:
    form = restored(text)
    if form is None:
        return None
    if form.kind == "regex":
        _check_regex(form.regex, field=f"{field}.regex")
    if form.json_schema is not None:
        check_schema(form.json_schema, field=f"{field}.json_schema")
    if reason := objection(form):
        raise bad_field(f"{field}.{form.kind}", f"no answer can be held to it: {reason}")
    return form


def _check_regex(pattern: str, *, field: str) -> None:
    if not 0 < len(pattern) <= REGEX_MAX:
        raise bad_field(field, f"must have 1 to {REGEX_MAX} characters, not {len(pattern)}")


def require_guiding(form: OutputForm, *, engine: str, pool: str, field: str) -> None:
    """Refuse a form that the pool's engine cannot hold an answer to."""
    kinds = GUIDED_BY.get(engine, frozenset())
    if form.kind not in kinds:
        can = f"only {', '.join(sorted(kinds))}" if kinds else "no output form"
        raise bad_field(f"{field}.kind", f"the pool {pool!r} runs the engine {engine!r}, which can guide by {can}")


def stored(form: OutputForm | None) -> str:
    """The form as it lies in Postgres; empty for none."""
    return "" if form is None else msgspec.json.encode(form).decode()


def restored(text: str) -> OutputForm | None:
    """The form out of what `stored` made of it."""
    return msgspec.json.decode(text, type=OutputForm) if text else None


def given(text: str) -> dict[str, Any] | None:
    """The form as callers give it, out of what `stored` made of it; None for none."""
    return msgspec.json.decode(text, type=dict[str, Any]) if text else None
