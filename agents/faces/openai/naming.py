"""Refusals by the names that OpenAI's request has for what Opsite calls otherwise. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from agents.problems import Problem, bad_field

_OURS = "parameters."
_TOOL = re.compile(r"tools\[\d+\]\.")


@contextmanager
def as_asked(names: Mapping[str, str] | None = None, *, tools_in: str = "") -> Iterator[None]:
    """A problem with one of the task's parameters names the request's own field; `names` are those that differ.

    `tools_in` is where in a tool of the request its function stands.
    """
    try:
        yield
    except Problem as problem:
        (error,) = problem.errors or (None,)
        field = error.field if error else ""
        if field.startswith(_OURS):
            field = field.removeprefix(_OURS)
            field = (names or {}).get(field, field)
        elif field == "allowed_tools":
            field = "tool_choice"
        elif tool := _TOOL.match(field):
            field = f"{tool.group()}{tools_in}{field[tool.end() :]}"
        if error is None or field == error.field:
            raise
        raise bad_field(field, error.message) from problem
