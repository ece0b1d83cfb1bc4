"""The words that schemas are written with."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """A component by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def object_of(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    """An object, which may have further members."""
    return {"type": "object", "required": list(required), "properties": properties}


def or_null(schema: Schema) -> Schema:
    """That, or null."""
    return {"anyOf": [schema, {"type": "null"}]}
