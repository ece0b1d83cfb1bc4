"""Tokens per second from sums that only grow, and how long a leader is quiet: over reads, not clocks."""

from __future__ import annotations

from console.overview.rates import GAP_S, TokenRates
from console.overview.ticks import BREAK_S, Ticks


def test_a_rate_is_that_of_the_last_seconds() -> None:
    rates = TokenRates()
    assert rates.hear({"p": {"a": 1000}}, now=10.0) == {"p": None}
    assert rates.hear({"p": {"a": 1100}}, now=11.0) == {"p": 100.0}
    for second in range(12, 30):
        found = rates.hear({"p": {"a": 1100}}, now=float(second))
    assert found == {"p": 0.0}


def test_workers_come_and_go_without_a_spike_or_a_hole() -> None:
    rates = TokenRates()
    rates.hear({"p": {"a": 5000}, "q": {}}, now=0.0)
    assert rates.hear({"p": {"a": 5010, "b": 9000}, "q": {}}, now=1.0) == {"p": 10.0, "q": 0.0}
    assert rates.hear({"p": {"b": 9030}, "q": {}}, now=2.0)["p"] == 20.0


def test_a_pool_that_could_not_be_read_begins_anew() -> None:
    rates = TokenRates()
    rates.hear({"p": {"a": 0}}, now=0.0)
    rates.hear({}, now=1.0)
    assert rates.hear({"p": {"a": 900}}, now=2.0) == {"p": None}


def test_after_a_long_time_without_a_look_there_is_no_rate_yet() -> None:
    rates = TokenRates()
    rates.hear({"p": {"a": 0}}, now=0.0)
    assert rates.hear({"p": {"a": 900}}, now=GAP_S + 1) == {"p": None}


def test_a_leader_is_quiet_since_its_last_tick() -> None:
    ticks = Ticks()
    assert ticks.look(1.5, now=100.0) == 1.5
    assert ticks.look(None, now=105.0) == 6.5
    assert ticks.look(None, now=110.0) == 11.5
    assert ticks.look(0.5, now=111.0) == 0.5


def test_who_begins_to_look_waits_before_it_says_so() -> None:
    ticks = Ticks()
    assert ticks.look(None, now=100.0) == 0.0
    assert ticks.look(None, now=104.0) == 4.0
    assert ticks.look(None, now=104.0 + BREAK_S + 1) == 0.0
