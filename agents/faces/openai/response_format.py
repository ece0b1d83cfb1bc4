"""OpenAI's `response_format` as an output form, and what is wrong with it in the words of whoever sent it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from agents.faces.requests import ResponseFormat
from agents.output_forms import OutputIn
from agents.problems import Problem, bad_field

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_FIELD = re.compile(r"output(\.json_schema|\.kind)?(?=[.\[]|$)")
_HERE = {".json_schema": ".json_schema.schema", ".kind": ".type", None: ""}


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
    if not _NAME.fullmatch(wanted.json_schema.name):
        raise bad_field(
            "response_format.json_schema.name", "must have 1 to 64 of the characters a-z, A-Z, 0-9, _ and -"
        )
    return OutputIn(wanted.type, wanted.json_schema.schema)


@contextmanager
def form_as_asked() -> Iterator[None]:
    """A problem with the task's `output` names the place in `response_format`."""
    try:
        yield
    except Problem as problem:
        (error,) = problem.errors or (None,)
        found = error and _FIELD.match(error.field)
        if error is None or not found:
            raise
        place = f"response_format{_HERE[found.group(1)]}{error.field[found.end() :]}"
        raise bad_field(place, error.message) from problem
