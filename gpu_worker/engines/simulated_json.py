"""What the simulated engine says where an answer must have a form: the least that its schema allows. Pure, and the same every time.

It has no model, so it makes the instance out of the schema's common keywords. What it cannot imitate it refuses by name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from taskqueue.messages import OutputForm

PIECE = 4
"""Characters to a token."""

DEPTH = 64
"""Schemas inside each other, references included: a schema that needs itself has no least instance."""

EXAMPLES = {
    "date-time": "2000-01-01T00:00:00Z",
    "date": "2000-01-01",
    "time": "00:00:00Z",
    "email": "a@example.org",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.org/",
    "hostname": "example.org",
}

_SAID_OF = {
    "object": {"properties", "required", "additionalProperties", "minProperties", "maxProperties"},
    "array": {"items", "prefixItems", "additionalItems", "minItems", "maxItems"},
    "string": {"minLength", "maxLength", "format", "pattern"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
}


class CannotImitate(Exception):
    """The simulated engine makes no instance of this schema; its words name the place."""


def pieces_of(form: OutputForm) -> tuple[str, ...]:
    """The answer's tokens as text. Raises `CannotImitate`."""
    if form.kind == "regex":
        raise CannotImitate("regex: the simulated engine has no model, and makes JSON only")
    value = {} if form.kind == "json_object" else least(form.json_schema or {})
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return tuple(text[at : at + PIECE] for at in range(0, len(text), PIECE))


def least(schema: dict[str, Any]) -> Any:
    """A small instance of the schema."""
    return _least(schema, schema, "$", DEPTH)


def _least(schema: Any, root: dict[str, Any], path: str, depth: int) -> Any:
    if schema is True or schema == {}:
        return None
    if schema is False or depth == 0:
        raise CannotImitate(f"{path}: nothing satisfies it, or only what never ends")
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for keyword in ("anyOf", "oneOf", "allOf"):
        if keyword in schema:
            return _of_several(schema, keyword, root, path, depth)
    if "$ref" in schema:
        _alone(schema, "$ref", path)
        return _least(_target(root, schema["$ref"], path), root, path, depth - 1)
    kind = schema.get("type") or _kind_of(schema)
    kind = kind[0] if isinstance(kind, list) else kind
    return _MAKERS[kind](schema, root, path, depth)
