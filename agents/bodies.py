"""What no JSON body may be, whichever face it comes by. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agents.problems import Problem, bad_field

NUL = b"\\u0000"
"""The one character that neither Postgres' text nor its jsonb can hold; in JSON it can only stand escaped."""


def not_json(error: Exception) -> Problem:
    """400: the body cannot be read."""
    reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
    return Problem(400, "invalid_json", f"The body is not JSON: {reason}")


def refuse_nul(value: Any) -> None:
    """Raise the problem that names the first field with a NUL in it, if there is one."""
    for path in _with_nul(value, ""):
        raise bad_field(path or "body", "must not contain the character U+0000")


def _with_nul(value: Any, path: str) -> Iterator[str]:
    match value:
        case str() if "\x00" in value:
            yield path
        case dict():
            for name, inner in value.items():
                here = f"{path}.{name}" if path else str(name)
                if "\x00" in name:
                    yield path or "body"
                yield from _with_nul(inner, here)
        case list():
            for index, inner in enumerate(value):
                yield from _with_nul(inner, f"{path}[{index}]")
