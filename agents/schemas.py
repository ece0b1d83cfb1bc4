"""Whether a JSON schema is one, is bounded, and asks only for what answers can be held to. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from jsonschema import (
    Draft4Validator,
    Draft6Validator,
    Draft7Validator,
    Draft201909Validator,
    Draft202012Validator,
    SchemaError,
)

from agents.problems import bad_field

SCHEMA_BYTES = 64 * 1024
NESTING = 64
"""Objects and lists inside each other; vLLM takes no more either."""

DRAFTS: dict[str, Any] = {
    str(draft.META_SCHEMA.get("$id", draft.META_SCHEMA.get("id"))).rstrip("#"): draft
    for draft in (Draft202012Validator, Draft201909Validator, Draft7Validator, Draft6Validator, Draft4Validator)
}

UNGUIDED = frozenset(
    {
        "not", "if", "then", "else", "contains", "minContains", "maxContains", "uniqueItems", "patternProperties",
        "propertyNames", "dependencies", "dependentRequired", "dependentSchemas", "unevaluatedItems",
        "unevaluatedProperties", "$dynamicRef", "$recursiveRef", "x-guidance",
    }
)  # fmt: skip
"""Keywords that say what an answer may be, and that no grammar is made of."""

_OF_ONE = ("items", "additionalItems", "additionalProperties")
_OF_SEVERAL = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
_BY_NAME = ("properties", "$defs", "definitions")


def check_schema(schema: dict[str, Any], *, field: str) -> None:
    """Raise a problem that names the place which does not fit."""
    size = len(msgspec.json.encode(schema))
    if size > SCHEMA_BYTES:
        raise bad_field(field, f"has {size} bytes; at most {SCHEMA_BYTES}")
    if _deeper_than(schema, NESTING):
        raise bad_field(field, f"is nested more than {NESTING} levels deep")
    named = schema.get("$schema", Draft202012Validator.META_SCHEMA["$id"])
    draft = DRAFTS.get(named.rstrip("#")) if isinstance(named, str) else None
    if draft is None:
        raise bad_field(f"{field}.$schema", f"unknown; known are {', '.join(DRAFTS)}")
    try:
        draft.check_schema(schema)
    except SchemaError as error:
        raise bad_field(_path(field, *error.absolute_path), f"is no JSON schema: {error.message}") from error
    for path, part in subschemas(schema, field):
        _check_part(part, path, root=field)


def _check_part(part: dict[str, Any], path: str, *, root: str) -> None:
    for keyword in part:
        if keyword in UNGUIDED:
            raise bad_field(f"{path}.{keyword}", "is not supported here: answers cannot be held to it")
    if "$id" in part and path != root:
        raise bad_field(f"{path}.$id", "is supported at the top only")
    reference = part.get("$ref", "#")
    if not isinstance(reference, str) or (reference != "#" and not reference.startswith("#/")):
        raise bad_field(f"{path}.$ref", f"{reference!r} is not in this schema; use a pointer such as '#/$defs/name'")


def subschemas(schema: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The schema and all schemas in it, each with its path; where data stands (`enum`, `const`, `default`), none is."""
    if not isinstance(schema, dict):
        return
    yield path, schema
    for keyword in _OF_ONE:
        yield from subschemas(schema.get(keyword), f"{path}.{keyword}")
    for keyword in _OF_SEVERAL:
        inner = schema.get(keyword)
        for index, one in enumerate(inner if isinstance(inner, list) else ()):
            yield from subschemas(one, f"{path}.{keyword}[{index}]")
    for keyword in _BY_NAME:
        by_name = schema.get(keyword)
        for name, one in by_name.items() if isinstance(by_name, dict) else ():
            yield from subschemas(one, f"{path}.{keyword}.{name}")


def _deeper_than(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper_than(one, levels - 1) for one in inner)


def _path(field: str, *parts: str | int) -> str:
    return field + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
