"""The pure parts between turns: arguments against schemas, requests, the calculator, and what comes after a turn."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from agents.money import MoneyLimit
from agents.problems import Problem
from agents.runner.step import End, Next, Wait, next_step
from agents.tools.arguments import checked_schema, parsed
from agents.tools.calculator import calculate
from agents.tools.clock import current_time
from agents.tools.http_request import HttpRequest, request_of, result_of
from agents.tools.results import CallFailed
from outbound.requests import Response

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "value"),
    [("2 + 3 * 4", "14"), ("2 ** 10", "1024"), ("sqrt(16)", "4.0"), ("round(10 / 3, 2)", "3.33"), ("7 // 2 - 1", "2")],
)
def test_the_calculator(expression: str, value: str) -> None:
    assert calculate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "1 / 0",
        "__import__('os')",
        "9 ** 9 ** 9",
        "3999999 ** 3999999",
        "'a' * 9",
        "1 +",
        "x",
        "1 < 2",
        "1 << 9999999",
        "9" * 600,
    ],
)
def test_what_the_calculator_refuses_it_refuses_at_once(expression: str) -> None:
    begun = time.process_time()
    with pytest.raises(CallFailed):
        calculate(expression)
    assert time.process_time() - begun < 1


def test_the_time() -> None:
    assert current_time(NOW, "Europe/Oslo") == "Sunday 2026-03-01T13:00:00+01:00 (Europe/Oslo)"
    with pytest.raises(CallFailed, match="no time zone"):
        current_time(NOW, "Moon/Base")


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"n": {"type": "integer"}, "s": {"type": "string", "pattern": "^a+$"}},
    "required": ["n"],
}


def test_arguments_that_fit() -> None:
    assert parsed('{"n": 1, "s": "aa"}', SCHEMA) == {"n": 1, "s": "aa"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("{", "not JSON"),
        ("[1]", "must be an object"),
        ("{}", "'n' is a required property"),
        ('{"n": "1"}', "n: '1' is not of type 'integer'"),
        ('{"n": 1, "s": "b"}', "does not match"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_arguments_that_do_not(arguments: str, said: str) -> None:
    with pytest.raises(CallFailed, match=said) as failed:
        parsed(arguments, SCHEMA)
    assert not failed.value.sent


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"n": {"$ref": "http://169.254.169.254/latest"}}},
        {"properties": {"n": {"$ref": "file:///etc/passwd"}}},
        {"patternProperties": {"(a+)+$": {}}},
        {"description": "x" * 70_000},
    ],
)
def test_schemas_that_lead_outside_or_cost_too_much_are_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(Problem):
        checked_schema(schema, field="parameters")


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        ({"$ref": "http://127.0.0.1:9/never"}, "{}"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, "{}"),
        ({"$ref": "#/nowhere"}, "{}"),
        ({"properties": {"s": {"pattern": "^(a+)+$"}}}, '{"s": "' + "a" * 40 + '!"}'),
    ],
)
def test_a_schema_that_was_kept_all_the_same_holds_nothing_up(schema: dict[str, Any], arguments: str) -> None:
    begun = time.process_time()
    with pytest.raises(CallFailed) as failed:
        parsed(arguments, schema)
    assert not failed.value.sent
    assert time.process_time() - begun < 2


def test_where_arguments_go() -> None:
    tool = HttpRequest(
        url="https://x.example/${secret:base}/{id}?a=1", method="PATCH", query=("q",), header_arguments=("x-trace",),
        headers={"authorization": "Bearer ${secret:key}"},
    )  # fmt: skip
    arguments = {"id": "a/b?c", "q": ["1", "2"], "x-trace": "t", "note": "${secret:key}"}
    request = request_of(tool, arguments, {"base": "v1", "key": "s3cret"})
    assert request.url == "https://x.example/v1/a%2Fb%3Fc?a=1&q=1&q=2"
    assert request.headers == {"authorization": "Bearer s3cret", "x-trace": "t", "content-type": "application/json"}
    assert request.content == b'{"note": "${secret:key}"}'


@pytest.mark.parametrize("place", ["..", ".", ""])
def test_no_argument_steps_out_of_its_place(place: str) -> None:
    with pytest.raises(CallFailed):
        request_of(HttpRequest(url="https://x.example/a/{id}/b", method="GET"), {"id": place}, {})


def test_answers_hold_no_secret() -> None:
    bad = result_of(Response(status=401, headers={}, body=b"bad token s3cret", url="u"), {"key": "s3cret"})
    assert (bad.text, bad.is_error) == ("HTTP 401: bad token ${secret:key}", True)
    assert not result_of(Response(status=204, headers={}, body=b"", url="u"), {}).is_error


def task(**more: Any) -> dict[str, Any]:
    return {
        "deadline_at": None, "limits": {}, "tokens": 10, "created_at": NOW - timedelta(seconds=60), "is_active": True,
        "revoked_at": None, "budget_spent_until": None, "key_budget_spent_until": None, **more,
    }  # fmt: skip


def after(state: str = "succeeded", *, number: int = 1, **more: Any) -> Any:
    call = {"call_id": "c", "name": "n", "arguments": "{}", "state": state, "result": "r"}
    return next_step(
        task=task(**more),
        turn={"number": number, "output": "So. ", "summaries": 0, "summarises": None},
        calls=[call],
        now=NOW,
    )


def test_the_next_turn_has_what_was_said_and_brought() -> None:
    assert after() == Next(
        2,
        [
            {"role": "assistant", "content": "So. ", "tool_calls": [{"id": "c", "name": "n", "arguments": "{}"}]},
            {"role": "tool", "content": "r", "tool_call_id": "c"},
        ],
    )
    assert after("failed") == after()
    assert [after(state) for state in ("pending", "running", "waiting")] == [Wait()] * 3


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"number": 10}, "turn_limit"),
        ({"number": 3, "limits": {"max_turns": 3}}, "turn_limit"),
        ({"limits": {"max_tokens": 10}}, "token_limit"),
        ({"limits": {"max_seconds": 60}}, "time_limit"),
        ({"limits": {"max_seconds": 60}, "state": "waiting"}, "time_limit"),
        ({"is_active": False}, "not_allowed"),
        ({"revoked_at": NOW}, "not_allowed"),
        ({"budget_spent_until": NOW + timedelta(days=1)}, "budget_spent"),
        ({"key_budget_spent_until": NOW + timedelta(days=1)}, "budget_spent"),
    ],
)
def test_where_a_task_ends_between_its_turns(more: dict[str, Any], code: str) -> None:
    step = after(**more)
    assert isinstance(step, End)
    assert (step.state, step.error and step.error.code) == ("failed", code)


@pytest.mark.parametrize(
    ("limit", "spent", "is_own", "said"),
    [
        ("0.5", "0.500000000000", True, "The task cost 0.5 USD; its agent's limit is 0.5 USD."),
        ("100", "120", True, "The task cost 120 USD; its agent's limit is 100 USD."),
        ("100", "120", False, "The task that handed this one over, with all that it handed over, cost 120 USD"),
        ("0.5", "0.499999999999", True, None),
    ],
)
def test_a_limit_of_money(limit: str, spent: str, is_own: bool, said: str | None) -> None:
    money = [MoneyLimit(Decimal(1000), Decimal(1)), MoneyLimit(Decimal(limit), Decimal(spent), is_own)]
    call = {"call_id": "c", "name": "n", "arguments": "{}", "state": "succeeded", "result": "r"}
    turn = {"number": 1, "output": "", "summaries": 0, "summarises": None}
    step = next_step(task=task(), turn=turn, calls=[call], now=NOW, money=money, currency="USD")
    if said is None:
        assert isinstance(step, Next)
        return
    assert isinstance(step, End)
    assert step.error is not None
    assert (step.state, step.error.code) == ("failed", "cost_limit")
    assert step.error.message.startswith(said)


def test_a_deadline_that_has_passed() -> None:
    assert after("waiting", deadline_at=NOW) == End("expired")
    assert isinstance(after(budget_spent_until=NOW, limits={"max_tokens": 11, "max_seconds": 61}), Next)
