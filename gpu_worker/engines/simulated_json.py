"""What the simulated engine says where an answer must have a form: the least that its schema allows. Pure, and the same every time.

It has no model, so it makes the instance out of the schema's common keywords. What it cannot imitate it refuses by name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
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

SAYS_NOTHING = frozenset(
    {
        "type", "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment", "$schema",
        "$id", "$defs", "definitions",
    }
)  # fmt: skip
"""Keywords that an instance need not mind, or that were minded before."""

DIGITS = 9
"""Behind the point: 3 times 0.1 is 0.3."""

INSTANCES = 10_000
"""Values in one answer, at most."""


class CannotImitate(Exception):
    """The simulated engine makes no instance of this schema; its words name the place."""


def pieces_of(form: OutputForm) -> tuple[str, ...]:
    """The answer's tokens, as text. Raises `CannotImitate`."""
    if form.kind == "regex":
        raise CannotImitate("regex: it makes JSON only")
    value = {} if form.kind == "json_object" else least(form.json_schema or {})
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return tuple(text[at : at + PIECE] for at in range(0, len(text), PIECE))


def least(schema: dict[str, Any]) -> Any:
    """A small instance of the schema. Raises `CannotImitate`."""
    return _Maker(schema).least(schema, "$", DEPTH)


class _Maker:
    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._left = INSTANCES

    def least(self, schema: Any, path: str, depth: int) -> Any:
        self._left -= 1
        if schema is False or depth == 0 or self._left < 0:
            raise CannotImitate(f"{path}: nothing satisfies it, or only what is too large")
        if schema is True:
            return None
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][0]
        for keyword in ("$ref", "allOf", "anyOf", "oneOf"):
            if keyword in schema:
                self._only(schema, path, keyword)
                return self._elsewhere(schema[keyword], keyword, path, depth)
        kind = schema.get("type", [one for one, known in _KNOWN.items() if known & schema.keys()] or "null")
        kind = kind[0] if isinstance(kind, list) else kind
        self._only(schema, path, *_KNOWN.get(kind, ()))
        return _MAKERS[kind](self, schema, path, depth)

    def _only(self, schema: dict[str, Any], path: str, *known: str) -> None:
        for keyword in schema:
            if keyword not in known and keyword not in SAYS_NOTHING:
                raise CannotImitate(f"{path}: {keyword}")

    def _elsewhere(self, value: Any, keyword: str, path: str, depth: int) -> Any:
        if keyword == "$ref":
            return self.least(self._target(value, path), path, depth - 1)
        if keyword == "allOf" and len(value) > 1:
            raise CannotImitate(f"{path}: allOf of several")
        for index, one in enumerate(value):
            try:
                return self.least(one, f"{path}.{keyword}[{index}]", depth - 1)
            except CannotImitate:
                if index == len(value) - 1:
                    raise
        return None

    def _target(self, reference: str, path: str) -> Any:
        found: Any = self._root
        for part in reference.removeprefix("#").split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or name not in found:
                raise CannotImitate(f"{path}: $ref {reference}")
            found = found[name]
        return found

    # -- by type -------------------------------------------------------------------------------
    def _object(self, schema: dict[str, Any], path: str, depth: int) -> dict[str, Any]:
        known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        names = list(schema.get("required", ()))
        missing = max(0, int(schema.get("minProperties", 0)) - len(names))
        names += [name for name in known if name not in names][:missing]
        in_order = [name for name in known if name in names] + [name for name in names if name not in known]
        return {name: self.least(known.get(name, others), f"{path}.{name}", depth - 1) for name in in_order}

    def _array(self, schema: dict[str, Any], path: str, depth: int) -> list[Any]:
        first, rest = schema.get("prefixItems", []), schema.get("items", True)
        if isinstance(rest, list):
            raise CannotImitate(f"{path}: items as a list")
        length = int(schema.get("minItems", 0))
        return [
            self.least(first[index] if index < len(first) else rest, f"{path}[{index}]", depth - 1)
            for index in range(min(length, INSTANCES))
        ]

    def _string(self, schema: dict[str, Any], path: str, depth: int) -> str:
        if "format" in schema:
            if schema["format"] not in EXAMPLES:
                raise CannotImitate(f"{path}: format {schema['format']!r}")
            return EXAMPLES[schema["format"]]
        length = int(schema.get("minLength", 0))
        if length > INSTANCES:
            raise CannotImitate(f"{path}: minLength above {INSTANCES}")
        return "x" * length

    def _integer(self, schema: dict[str, Any], path: str, depth: int) -> int:
        number = self._number({**schema, "multipleOf": schema.get("multipleOf", 1)}, path, depth)
        if number != int(number):
            raise CannotImitate(f"{path}: multipleOf {schema['multipleOf']}")
        return int(number)

    def _number(self, schema: dict[str, Any], path: str, depth: int) -> float:
        """The number next to zero."""
        step: float = schema.get("multipleOf", 0.5)
        low: float = max(schema.get("minimum", -math.inf), _next(schema.get("exclusiveMinimum"), step, up=True))
        high: float = min(schema.get("maximum", math.inf), _next(schema.get("exclusiveMaximum"), step, up=False))
        if low > 0:
            return round(math.ceil(round(low / step, DIGITS)) * step, DIGITS)
        return round(math.floor(round(high / step, DIGITS)) * step, DIGITS) if high < 0 else 0


def _next(bound: float | None, step: float, *, up: bool) -> float:
    """The first multiple of the step beyond an exclusive bound."""
    if bound is None:
        return -math.inf if up else math.inf
    return (math.floor(bound / step) + 1) * step if up else (math.ceil(bound / step) - 1) * step


_NUMBER = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
_KNOWN: dict[str, set[str]] = {
    "object": {"properties", "required", "additionalProperties", "minProperties", "maxProperties"},
    "array": {"items", "prefixItems", "minItems", "maxItems"},
    "string": {"minLength", "maxLength", "format"},
    "number": _NUMBER,
    "integer": _NUMBER,
}
"""The keywords that each type's instances are made by."""

_MAKERS: dict[str, Callable[[_Maker, dict[str, Any], str, int], Any]] = {
    "object": _Maker._object,
    "array": _Maker._array,
    "string": _Maker._string,
    "number": _Maker._number,
    "integer": _Maker._integer,
    "boolean": lambda *_: False,
    "null": lambda *_: None,
}
