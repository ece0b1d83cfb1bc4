"""OpenAI's `response_format`, or `text.format`, as an output form, and what is wrong with it in its sender's words. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from agents.faces.requests import ResponseFormat
from agents.output_forms import OutputIn
from agents.problems import Problem, bad_field

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_FIELD = re.compile(r"output(\.json_schema|\.kind)?(?=[.\[]|$)")
_HERE = {".kind": ".type", None: ""}


def output(wanted: ResponseFormat | None) -> OutputIn | None:
    """The form; whether answers can be held to it is checked with the whole task."""
    if wanted is None:
        return None
    if (wanted.json_schema is not None) != (wanted.type == "json_schema"):
        raise bad_field(
            "response_format.json_schema", f"belongs to the type 'json_schema', and this is {wanted.type!r}"
        )
    if wanted.json_schema is None:
        return OutputIn(wanted.type)
    check_name(wanted.json_schema.name, field="response_format.json_schema.name")
    return OutputIn(wanted.type, wanted.json_schema.schema)


def check_name(name: str, *, field: str) -> None:
    """A schema's name, as OpenAI has it."""
    if not _NAME.fullmatch(name):
        raise bad_field(field, "must have 1 to 64 of the characters a-z, A-Z, 0-9, _ and -")


@contextmanager
def form_as_asked(form: str = "response_format", schema: str = ".json_schema.schema") -> Iterator[None]:
    """A problem with the task's `output` names the place in the request's `form`, whose schema stands at `schema` there."""
    try:
        yield
    except Problem as problem:
        (error,) = problem.errors or (None,)
        found = error and _FIELD.match(error.field)
        if error is None or not found:
            raise
        here = {**_HERE, ".json_schema": schema}[found.group(1)]
        place = f"{form}{here}{error.field[found.end() :]}"
        raise bad_field(place, error.message) from problem
