"""The arguments of a call against the tool's JSON schema. Pure, and bounded: all calls of all tenants wait while one is checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import regex
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import SchemaError
from jsonschema.validators import extend
from referencing import Registry

from agents.problems import bad_field
from agents.tools.results import CallFailed

SCHEMA_MAX = 64 * 1024
STEPS = 20_000
"""Keywords of a schema that are looked at for one call."""
PATTERN_S = 0.05
"""For one regular expression of a schema."""


class _TooMuchWork(Exception):
    """The schema asks for more than is given to it."""


def checked_schema(schema: Any, *, field: str) -> dict[str, Any]:
    """A tool's parameters, or the problem that says what is wrong with them. A reference leads within the schema."""
    if len(json.dumps(schema)) > SCHEMA_MAX:
        raise bad_field(field, f"has more than {SCHEMA_MAX} characters")
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        path = ".".join(map(str, error.absolute_path))
        raise bad_field(f"{field}.{path}" if path else field, f"is no JSON schema: {error.message}") from error
    except RecursionError as error:
        raise bad_field(field, "is nested too deeply") from error
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise bad_field(field, "must be a JSON schema of an object")
    for keyword, value in _keywords(schema):
        if keyword in ("$ref", "$dynamicRef") and not str(value).startswith("#"):
            raise bad_field(field, f"{keyword} {value!r} leads out of the schema; nothing is fetched for it")
        if keyword == "patternProperties":
            raise bad_field(field, "patternProperties is not supported here")
    return schema


def _keywords(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name, inner
            yield from _keywords(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keywords(inner)


def parsed(arguments: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The arguments, or `CallFailed` with what the model should do better. Nothing was sent."""
    try:
        given = json.loads(arguments or "{}")
    except (ValueError, RecursionError) as error:
        raise CallFailed(f"The arguments are not JSON: {error}", sent=False) from error
    if not isinstance(given, dict):
        raise CallFailed("The arguments must be an object.", sent=False)
    try:
        wrong = next(_validator(json.dumps(schema))(STEPS).iter_errors(given), None)
    except Exception as error:  # a reference that leads nowhere, a circle, too much work
        raise CallFailed(f"The arguments cannot be checked against the tool's schema: {error}", sent=False) from error
    if wrong is not None:
        place = ".".join(map(str, wrong.absolute_path)) or "arguments"
        raise CallFailed(f"{place}: {wrong.message}"[:1000], sent=False)
    return given


@lru_cache(maxsize=256)
def _validator(schema: str) -> Callable[[int], Any]:
    """Makes a validator with so many steps. Its registry is empty: nothing is fetched, whatever a reference says."""
    decoded = json.loads(schema)

    def make(steps: int) -> Any:
        left = [steps]
        checks = {**Draft202012Validator.VALIDATORS, "pattern": _pattern}
        counted: Any = extend(Draft202012Validator, {name: _counted(check, left) for name, check in checks.items()})  # type: ignore[no-untyped-call]
        return counted(decoded, registry=Registry())

    return make


def _counted(check: Callable[..., Iterator[Any] | None], left: list[int]) -> Callable[..., Iterator[Any]]:
    def run(*args: Any) -> Iterator[Any]:
        left[0] -= 1
        if left[0] < 0:
            raise _TooMuchWork(f"it takes more than {STEPS} steps")
        yield from check(*args) or ()

    return run


def _pattern(_: Any, pattern: str, instance: Any, __: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not regex.search(pattern, instance, timeout=PATTERN_S):
        yield ValidationError(f"{instance[:100]!r} does not match {pattern!r}")
