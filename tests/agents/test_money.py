"""Limits of money: prices by time, whole trillionths, and what is refused when an agent is published."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from agents.money import MAX_COST, MoneyLimit, allowance, price_at, require_priced
from agents.problems import Problem
from agents.tools.chosen import checked_limits
from taskqueue.messages import Allowance

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def prices(*entries: tuple[int, str, str, str]) -> list[dict[str, Any]]:
    """As a pool's row has them: hours from now, then the amounts."""
    return [
        {
            "valid_from": (NOW + timedelta(hours=hours)).isoformat(),
            "input": read,
            "cached_input": cached,
            "output": made,
        }
        for hours, read, cached, made in entries
    ]


def test_the_price_in_force_is_the_last_that_has_begun() -> None:
    known = prices((-2, "1", "0", "2"), (-1, "3", "0", "4"), (1, "5", "0", "6"))
    found = [price_at(known, now=NOW + timedelta(hours=hours)) for hours in (-3, -2, 0, 2)]
    assert [one and one.output for one in found] == [None, Decimal(2), Decimal(4), Decimal(6)]


def test_an_allowance_is_exact_and_goes_by_the_least_that_is_left() -> None:
    known = prices((-1, "0.000001", "2.5", "30"))
    given = allowance([Decimal("0.5"), Decimal("0.1234567890129")], prices=known, now=NOW)
    assert given == Allowance(left=123_456_789_012, prompt_token=2_500_000, answer_token=30_000_000)
    largest = allowance([MAX_COST], prices=known, now=NOW)
    assert largest is not None
    assert largest.left < 2**63


def test_what_is_overdrawn_leaves_nothing() -> None:
    given = allowance([MoneyLimit(Decimal(1), Decimal("1.5")).left], prices=prices((-1, "1", "1", "1")), now=NOW)
    assert given is not None
    assert given.left == 0


def test_nothing_limits_where_there_is_no_limit_or_no_price() -> None:
    assert allowance([], prices=prices((-1, "1", "1", "1")), now=NOW) is None
    assert allowance([Decimal(1)], prices=prices((1, "1", "1", "1")), now=NOW) is None


@pytest.mark.parametrize(
    ("amount", "stored"), [("0.50", "0.5"), (0.25, "0.25"), (3, "3"), (100, "100"), ("1000000", "1000000")]
)
def test_a_limit_has_one_spelling(amount: Any, stored: str) -> None:
    assert checked_limits({"max_cost": amount}) == {"max_cost": stored}


def test_zero_is_none() -> None:
    assert checked_limits({"max_cost": "0.00", "max_turns": 3}) == {"max_turns": 3}


@pytest.mark.parametrize("amount", ["-1", "NaN", "Infinity", "1000000.01", "0.0000001", "1e999999999"])
def test_a_limit_that_does_not_fit_is_named(amount: str) -> None:
    with pytest.raises(Problem) as refused:
        checked_limits({"max_cost": amount})
    assert refused.value.errors[0].field == "limits.max_cost"


@pytest.mark.parametrize(
    ("known", "engine", "said"),
    [
        ([], "vllm", "have no price"),
        (prices((1, "1", "1", "1")), "vllm", "have no price"),
        (prices((-1, "0", "1", "0")), "vllm", "have no price"),
        (prices((-1, "1", "1", "1")), "embedding", "embeds texts"),
    ],
)
def test_a_limit_that_could_never_be_reached_is_refused(known: list[dict[str, Any]], engine: str, said: str) -> None:
    asked: dict[str, Any] = {"prices": known, "engine": engine, "pool": "small", "now": NOW, "field": "limits.max_cost"}
    with pytest.raises(Problem, match=said):
        require_priced({"max_cost": "1"}, **asked)
    require_priced({"max_turns": 1}, **asked)


def test_a_priced_pool_takes_it() -> None:
    known = prices((-1, "0", "0", "1"))
    require_priced({"max_cost": "1"}, prices=known, engine="vllm", pool="small", now=NOW, field="limits.max_cost")
