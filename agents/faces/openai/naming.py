"""Refusals by the names that OpenAI's request has for what Opsite calls otherwise. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from agents.problems import Problem, bad_field

_OURS = "parameters."


@contextmanager
def as_asked(names: Mapping[str, str] | None = None) -> Iterator[None]:
    """A problem with one of the task's parameters names the request's own field; `names` are those that differ."""
    try:
        yield
    except Problem as problem:
        (error,) = problem.errors or (None,)
        if error is None or not error.field.startswith(_OURS):
            raise
        field = error.field.removeprefix(_OURS)
        raise bad_field((names or {}).get(field, field), error.message) from problem
