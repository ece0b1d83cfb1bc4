"""The arguments of a call against the tool's JSON schema. Pure."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match

from agents.problems import bad_field
from agents.tools.results import CallFailed


def checked_schema(schema: Any, *, field: str) -> dict[str, Any]:
    """A tool's parameters, or the problem that says what is wrong with them."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        path = ".".join(map(str, error.absolute_path))
        raise bad_field(f"{field}.{path}" if path else field, f"is no JSON schema: {error.message}") from error
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise bad_field(field, "must be a JSON schema of an object")
    return schema


def parsed(arguments: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The arguments, or `CallFailed` with what the model should do better. Nothing was sent."""
    try:
        given = json.loads(arguments or "{}")
    except (ValueError, RecursionError) as error:
        raise CallFailed(f"The arguments are not JSON: {error}", sent=False) from error
    wrong = best_match(_validator(json.dumps(schema, sort_keys=True)).iter_errors(given))
    if wrong is not None:
        place = ".".join(map(str, wrong.absolute_path)) or "arguments"
        raise CallFailed(f"{place}: {wrong.message}", sent=False)
    if not isinstance(given, dict):
        raise CallFailed("The arguments must be an object.", sent=False)
    return given


@lru_cache(maxsize=256)
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema))
