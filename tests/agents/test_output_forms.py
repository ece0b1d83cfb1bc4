"""What an answer may be asked to look like: what is taken, and what is refused by which name."""

from __future__ import annotations

from typing import Any

import pytest

from agents.output_forms import OutputIn, checked, converted, given, require_guiding, restored, stored
from agents.problems import Problem
from agents.schemas import NESTING, SCHEMA_BYTES
from taskqueue.messages import OutputForm

PERSON = {
    "type": "object",
    "properties": {"surname": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["surname", "age"],
    "additionalProperties": False,
}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


def refusal(value: Any) -> tuple[str, str]:
    """The field that is refused, and why."""
    with pytest.raises(Problem) as refused:
        checked(converted(value, field="output"), field="output")
    assert refused.value.status == 400
    (error,) = refused.value.errors
    return error.field, error.message


@pytest.mark.parametrize(
    "value",
    [
        {"kind": "json_schema", "json_schema": PERSON},
        {"kind": "json_schema", "json_schema": {"$ref": "#/$defs/a", "$defs": {"a": PERSON}}},
        {"kind": "json_schema", "json_schema": {"$schema": "http://json-schema.org/draft-07/schema#", "type": "null"}},
        # A property may be named as a keyword is, and data may hold anything.
        {"kind": "json_schema", "json_schema": {"type": "object", "properties": {"not": {"type": "null"}}}},
        {"kind": "json_schema", "json_schema": {"enum": [{"not": 1}], "default": {"if": {}}}},
        {"kind": "json_object"},
        {"kind": "regex", "regex": "[A-Z]{3}-[0-9]{4}"},
    ],
)
def test_what_engines_can_guide_by_is_taken_as_it_is(value: dict[str, Any]) -> None:
    form = checked(converted(value, field="output"), field="output")
    assert form == OutputForm(value["kind"], value.get("json_schema"), value.get("regex", ""))


def test_text_asks_for_nothing() -> None:
    assert checked(OutputIn("text"), field="output") is None


@pytest.mark.parametrize(
    ("value", "field", "words"),
    [
        ({"kind": "yaml"}, "output.kind", "Invalid enum value"),
        ({"kind": "json_object", "more": 1}, "output", "more"),
        ({"kind": "json_schema"}, "output.json_schema", "belongs to the kind 'json_schema'"),
        ({"kind": "json_object", "json_schema": {}}, "output.json_schema", "belongs to"),
        ({"kind": "json_schema", "json_schema": {}, "regex": "a"}, "output.regex", "belongs to the kind 'regex'"),
        ({"kind": "regex"}, "output.regex", "belongs to"),
        ({"kind": "regex", "regex": ""}, "output.regex", "1 to 4096"),
        ({"kind": "regex", "regex": "a" * 4097}, "output.regex", "1 to 4096"),
        ({"kind": "regex", "regex": "a(b"}, "output.regex", "unclosed group"),
        ({"kind": "regex", "regex": "(a)\\1"}, "output.regex", "backreferences are not supported"),
        ({"kind": "regex", "regex": "(?=a)b"}, "output.regex", "look-around"),
    ],
)
def test_a_form_that_is_none_is_refused_by_name(value: dict[str, Any], field: str, words: str) -> None:
    name, message = refusal(value)
    assert name == field
    assert words in message


@pytest.mark.parametrize(
    ("schema", "field", "words"),
    [
        ({"type": "text"}, ".type", "is no JSON schema"),
        ({"properties": {"a": {"minimum": "0"}}}, ".properties.a.minimum", "is no JSON schema"),
        ({"anyOf": [{}, {"not": {}}]}, ".anyOf[1].not", "is not supported here"),
        (
            {"properties": {"a": {"items": {"uniqueItems": True}}}},
            ".properties.a.items.uniqueItems",
            "is not supported",
        ),
        ({"$defs": {"a": {"if": {}}}}, ".$defs.a.if", "is not supported"),
        ({"x-guidance": {"lenient": True}}, ".x-guidance", "is not supported"),
        ({"$ref": "https://example.org/x"}, ".$ref", "is not in this schema"),
        ({"properties": {"a": {"$id": "b"}}}, ".properties.a.$id", "at the top only"),
        ({"$schema": "https://example.org/x"}, ".$schema", "unknown; known are"),
        ({"type": "string", "format": "colour"}, "", "Unknown format: colour"),
        ({"type": "integer", "minimum": 5, "maximum": 1}, "", "minimum (5) is greater than maximum (1)"),
        ({"type": "string", "pattern": "(?<=a)b"}, "", "look-around"),
        ({"$ref": "#/$defs/none"}, "", "does not exist"),
        (nested(NESTING), "", f"more than {NESTING} levels"),
        ({"description": "x" * SCHEMA_BYTES}, "", f"at most {SCHEMA_BYTES}"),
    ],
)
def test_a_schema_is_refused_by_the_place_that_does_not_fit(schema: dict[str, Any], field: str, words: str) -> None:
    name, message = refusal({"kind": "json_schema", "json_schema": schema})
    assert name == f"output.json_schema{field}"
    assert words in message


def test_a_form_lies_in_postgres_with_its_properties_in_order() -> None:
    form = OutputForm("json_schema", PERSON)
    again = restored(stored(form))
    assert again == form
    assert again is not None
    assert again.json_schema is not None
    assert list(again.json_schema["properties"]) == ["surname", "age"]
    assert given(stored(form)) == {"kind": "json_schema", "json_schema": PERSON}
    assert (stored(None), restored(""), given("")) == ("", None, None)


def test_an_engine_that_cannot_guide_is_named() -> None:
    with pytest.raises(
        Problem, match="the pool 'toy' runs the engine 'simulated', which can guide by only json_object"
    ):
        require_guiding(OutputForm("regex", None, "a"), engine="simulated", pool="toy", field="output")
    with pytest.raises(Problem, match="the engine 'other', which can guide by no output form"):
        require_guiding(OutputForm("json_object"), engine="other", pool="toy", field="output")
    require_guiding(OutputForm("regex", None, "a"), engine="vllm", pool="gpu", field="output")
