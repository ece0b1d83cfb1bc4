"""The simulated engine's answers of a form: the least that a schema allows, or a refusal that names what it cannot make."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings

from gpu_worker.engines.simulated import SimulatedEngine
from gpu_worker.engines.simulated_json import CannotImitate, least, pieces_of
from gpu_worker.output_check import fault
from gpu_worker.settings import Settings
from taskqueue.messages import OutputForm
from tests.gpu_worker.conftest import run_engine
from tests.gpu_worker.schemas import formed, schemas

REPORT = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "score": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}, "minItems": 2},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "unasked": {"type": "string"},
    },
    "required": ["id", "score", "lines", "note"],
    "$defs": {
        "line": {"type": "array", "prefixItems": [{"const": "x"}, {"type": "integer", "minimum": 3}], "minItems": 2}
    },
}


def test_the_least_instance() -> None:
    assert least(REPORT) == {
        "id": "00000000-0000-4000-8000-000000000000",
        "score": 0.5,
        "lines": [["x", 3], ["x", 3]],
        "note": "",
    }


@pytest.mark.parametrize(
    ("schema", "number"),
    [
        ({"type": "integer", "minimum": 7, "multipleOf": 5}, 10),
        ({"type": "integer", "exclusiveMaximum": -3}, -4),
        ({"type": "number", "exclusiveMinimum": 1}, 1.5),
        ({"type": "integer", "minimum": -5}, 0),
        ({"type": "number", "minimum": 0.3, "multipleOf": 0.1}, 0.3),
        ({"type": "number", "maximum": -0.25, "multipleOf": 0.1}, -0.3),
    ],
)
def test_the_number_next_to_zero(schema: dict[str, Any], number: float) -> None:
    assert least(schema) == number


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (
            {"type": "object", "required": ["a"], "properties": {"a": {"type": "string", "pattern": "b"}}},
            r"\$\.a: pattern",
        ),
        ({"type": "string", "format": "duration"}, "format 'duration'"),
        ({"allOf": [{"type": "string"}, {"minLength": 2}]}, "allOf of several"),
        ({"anyOf": [{"type": "string", "pattern": "a"}]}, r"anyOf\[0\]: pattern"),
        ({"$ref": "#"}, "only what is too large"),
        ({"type": "string", "minLength": 10**9}, "minLength above"),
    ],
)
def test_what_it_cannot_make_is_named(schema: dict[str, Any], words: str) -> None:
    with pytest.raises(CannotImitate, match=words):
        least(schema)


@settings(max_examples=200, deadline=None)
@given(schemas())
def test_an_instance_satisfies_its_schema(schema: dict[str, Any]) -> None:
    form = OutputForm("json_schema", schema)
    text = "".join(pieces_of(form))
    assert fault(text, form) == ""


async def engine() -> SimulatedEngine:
    made = SimulatedEngine(
        Settings(
            redis_url="redis://unused", pool="p", engine="simulated", worker_id="w", engine_args={"step_base_s": 0}
        )
    )
    await made.start()
    return made


@pytest.mark.parametrize("cut", [0, 1, 5])
async def test_it_streams_the_instance_and_goes_on_behind_what_was_streamed(cut: int) -> None:
    one, form = await engine(), OutputForm("json_schema", REPORT)
    whole = "".join(pieces_of(form))
    said = "".join(pieces_of(form)[:cut])
    (ran,) = (await run_engine(one, [formed(1, form, max_tokens=200, streamed=tuple(range(cut)))])).values()
    assert said + ran.text == whole
    assert json.loads(whole) == least(REPORT)
    assert ran.last is not None
    assert ran.last.ending == "stop"
    await one.close()


async def test_it_is_cut_by_max_tokens_and_refuses_a_regex_by_name() -> None:
    one = await engine()
    form = OutputForm("json_schema", REPORT)
    ran = await run_engine(one, [formed(1, form, max_tokens=3), formed(2, OutputForm("regex", None, "a+"))])
    cut, refused = ran["turn-1:1"].last, ran["turn-2:1"].last
    assert cut is not None
    assert (cut.ending, ran["turn-1:1"].text) == ("length", "".join(pieces_of(form)[:3]))
    assert refused is not None
    assert refused.error is not None
    assert (refused.error.code, "regex" in refused.error.message) == ("unsupported_output", True)
    await one.close()
