"""What an answer is held against."""

from __future__ import annotations

import time
from typing import Any

import pytest

from comparisons.checks import SEARCH_S, BadCheck, made, read
from comparisons.table import lines


@pytest.mark.parametrize(
    ("checks", "answer", "message"),
    [
        ({"text": "yes"}, " yes\n", ""), ({"text": "yes"}, "Yes", "another text"), ({"text": ""}, " ", ""),
        ({"regex": r"\d+ km"}, "it is 12 km", ""), ({"regex": r"^\d+ km"}, "it is 12 km", "not found"),
        ({"json": {"a": 1}}, '{"a": 1, "b": 2}', ""), ({"json": {"a": 1}}, '{"a": 2}', "$.a is another value"),
        ({"json": {"a": {"b": [1, 2]}}}, '{"a": {"b": [1, 3]}}', "$.a.b[1] is another value"),
        ({"json": {"a": {"b": [1]}}}, '{"a": {"b": [1, 3]}}', "$.a.b has 2 members, not 1"),
        ({"json": {"a": None}}, '{"b": 1}', "$.a is missing"), ({"json": None}, "null", ""),
        ({"json": 1}, "true", "$ is another value"), ({"json": 1}, "1.0", ""), ({"json": []}, "{}", "$ is another value"),
        ({"json": {}}, "{", "the answer is no JSON"), ({"json": {}}, "[" * 100_000, "the answer is no JSON"),
        ({"text": "x"}, None, "there is no answer"),
    ],
)  # fmt: skip
def test_each_check(checks: dict[str, Any], answer: str | None, message: str) -> None:
    (found,) = made(read(checks), answer)
    assert (found.check, found.passed, found.message) == (next(iter(checks)), not message, message)


def test_all_of_them_and_none() -> None:
    found = made(read({"text": "1", "regex": "2", "json": 1}), "1")
    assert [(one.check, one.passed) for one in found] == [("text", True), ("regex", False), ("json", True)]
    assert made(read({}), "x") == []


@pytest.mark.parametrize(
    ("checks", "field"),
    [({"regex": "("}, "regex"), ({"regex": "x" * 1001}, "regex"), ({"colour": 1}, ""), ([], ""), ({"text": 5}, "")],
)
def test_what_cannot_be_checked_is_named(checks: Any, field: str) -> None:
    with pytest.raises(BadCheck) as refusal:
        read(checks)
    assert refusal.value.field == field


def test_an_expression_that_never_ends_is_given_up() -> None:
    begin = time.monotonic()
    (found,) = made(read({"regex": r"(a|aa|b|ab)+c"}), "a" * 5000)
    assert not found.passed
    assert time.monotonic() - begin < 20 * SEARCH_S


def test_a_spreadsheet_takes_no_answer_for_a_formula() -> None:
    side = {"state": "succeeded", "output": "=cmd()", "checks": [], "prompt_tokens": 1, "completion_tokens": 2}
    side |= {"queued_s": 0.1, "first_token_s": None, "total_s": -1.0}
    _, line = lines([{"number": 1, "messages": [], "differ": None, "left": side, "right": side}])
    assert line == "1,[],,succeeded,'=cmd(),0 of 0,1,2,0.1,,-1.0,succeeded,'=cmd(),0 of 0,1,2,0.1,,-1.0\r\n"
