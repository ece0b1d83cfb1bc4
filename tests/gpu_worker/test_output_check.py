"""The last word on an answer's form, and that no form makes it take long."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from gpu_worker.output_check import fault
from taskqueue.messages import OutputForm

NESTED = {"items": {"$ref": "#"}}


def schema(value: dict[str, Any]) -> OutputForm:
    return OutputForm("json_schema", value)


def regex(pattern: str) -> OutputForm:
    return OutputForm("regex", None, pattern)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("aaa", regex("a+")),
        ("é☃", regex("é.")),
        ('{"a": [1, 2]}', OutputForm("json_object")),
        ('{"a":0.3}', schema({"properties": {"a": {"multipleOf": 0.1}}})),
        ('"aa"', schema({"pattern": "^(a+)+$"})),
        ("[[[]]]", schema(NESTED)),
        (
            '{"n":{"n":null}}',
            schema({"$ref": "#/$defs/l", "$defs": {"l": {"properties": {"n": {"$ref": "#/$defs/l"}}}}}),
        ),
    ],
)
def test_an_answer_in_its_form_has_no_fault(text: str, form: OutputForm) -> None:
    assert fault(text, form) == ""


@pytest.mark.parametrize(
    ("text", "form", "words"),
    [
        ("aab", regex("a+"), "does not match the regular expression"),
        ("", regex("a+"), "does not match"),
        ("a\n", regex("a"), "does not match"),
        ('{"a":1', OutputForm("json_object"), "it is no JSON: Expecting"),
        ("[1]", OutputForm("json_object"), "no object"),
        ("NaN", schema({}), "NaN is no number in JSON"),
        ("1e999", schema({}), "beyond what a number can hold"),
        ("9" * 5000, schema({}), "Exceeds the limit"),
        ('{"a":"x"}', schema({"properties": {"a": {"type": "integer"}}}), "at $.a: 'x' is not of type 'integer'"),
        ('["b"]', schema({"items": {"pattern": "^a$"}}), "at $[0]: does not match the pattern"),
        ("7", schema({"multipleOf": 2}), "not a multiple of 2"),
        ("[" * 100_000, schema({}), "nested too deeply"),
        ("[" * 5000 + "]" * 5000, schema(NESTED), "nested too deeply"),
        ("1", schema({"$ref": "#/$defs/x", "$defs": {"x": {"$ref": "#/$defs/x"}}}), "nested too deeply"),
        ("1", schema({"$ref": "http://127.0.0.1:1/x"}), "cannot be checked: "),
    ],
)
def test_a_fault_is_told(text: str, form: OutputForm, words: str) -> None:
    assert words in fault(text, form)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("x" * 5000, regex("((x+x+)+y|x*)")),
        (json.dumps("x" * 5000), schema({"pattern": "^((x+x+)+y|x*)$"})),
        ("[" * 40 + "]" * 40, schema({"allOf": [NESTED, NESTED]})),
        (json.dumps(["a1"] * 10_000), schema({"items": {"anyOf": [{"pattern": "b"}, {"pattern": "[a-z]1"}]}})),
    ],
    ids=["regex", "pattern", "doubling schema", "many patterns"],
)
def test_no_form_takes_long_to_check(text: str, form: OutputForm) -> None:
    """By this process's own time. Python's regular expressions, and a schema without a budget, would take ages."""
    started = time.process_time()
    fault(text, form)
    assert time.process_time() - started < 5
