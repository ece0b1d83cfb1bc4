"""The floor by forecast: when it is believed, what it adds to `target_wait`, and what must hold for any numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.policies.decide import decide, remember
from orchestrator.policies.demand import Forecast, History, Policy, Signals
from orchestrator.policies.forecast import BETTER, STALE_S, TRUSTED
from tests.orchestrator.test_target_wait import (
    NOW,
    START_S,
    histories,
    live,
    long,
    policies,
    quick,
    reversals,
    seen,
    signals_,
    watched,
)

POLICY = Policy(kind="forecast", max_workers=20, down_cooldown_s=60, idle_to_zero_s=300)
GOOD = Forecast(made_at=NOW - 60, turns_per_s=20.0, error=0.1, plain_error=0.5, season="day")
"""Twenty a second at 0.2 s a turn: four workers."""


def foreseen(waiting: int, running: int, *, forecast: Forecast | None = GOOD, **fields: object) -> Signals:
    return replace(seen(waiting, running, **fields), forecast=forecast)  # type: ignore[arg-type]


# -- cases -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("ready", "starting", "desired", "code"),
    [(0, 0, 4, "from_zero"), (1, 0, 4, "up"), (1, 3, 4, "hold"), (4, 0, 4, "hold"), (6, 0, 4, "down")],
)
def test_the_floor_is_what_the_expected_rate_fills(ready: int, starting: int, desired: int, code: str) -> None:
    decision = decide(POLICY, foreseen(0, 0, ready=ready, starting=starting), watched(), NOW)
    assert (decision.desired, decision.code) == (desired, code)
    assert decision.needed == 4


def test_the_reason_says_the_error_and_what_is_trusted() -> None:
    decision = decide(POLICY, foreseen(0, 0), watched(), NOW)
    assert decision.reason == (
        "Nothing waits or runs, and no worker is there. 20 turns/s are foreseen within 60 s by the day "
        "(such forecasts lay off by 10% of what came, 30% at most are trusted): 4 workers at least."
    )


@pytest.mark.parametrize(
    ("forecast", "words"),
    [
        (None, "there is none for this time"),
        (replace(GOOD, made_at=NOW - STALE_S - 1), "the last is 901 s old, more than 900 s"),
        (replace(GOOD, error=None), "none could be tried on the past yet"),
        (replace(GOOD, error=TRUSTED + 0.01), "by the day they lay off by 31.0% of what came, more than 30%"),
        (replace(GOOD, error=0.1, plain_error=0.12), "without a season by 12.0%"),
    ],
)
def test_a_forecast_that_is_not_believed_is_target_wait(forecast: Forecast | None, words: str) -> None:
    for signals in (foreseen(0, 0, forecast=forecast), foreseen(30, 8, ready=1, forecast=forecast)):
        decision = decide(POLICY, signals, watched(), NOW)
        plain = decide(replace(POLICY, kind="target_wait"), signals, watched(), NOW)
        assert decision.reason.startswith(f"{plain.reason} No floor by forecast: ")
        assert words in decision.reason
        assert replace(decision, reason="") == replace(plain, reason="")


def test_what_a_turn_costs_must_be_measured() -> None:
    decision = decide(POLICY, foreseen(0, 0, turn_s=None), watched(), NOW)
    assert (decision.desired, decision.code) == (0, "hold")
    assert "No floor by forecast: it is not measured yet what a turn costs." in decision.reason


def test_just_at_the_thresholds_it_is_believed() -> None:
    edge = replace(GOOD, error=TRUSTED, plain_error=TRUSTED / BETTER)
    assert decide(POLICY, foreseen(0, 0, forecast=edge), watched(), NOW).desired == 4


def test_target_wait_may_want_more() -> None:
    signals = foreseen(900, 8, ready=1, starting=1)
    plain = decide(replace(POLICY, kind="target_wait"), signals, watched(), NOW)
    low = decide(POLICY, replace(signals, forecast=replace(GOOD, turns_per_s=1.0)), watched(), NOW)
    assert plain.desired > 1
    assert (low.desired, low.code, low.needed) == (plain.desired, plain.code, plain.needed)


def test_a_turn_that_is_not_expected_within_the_idle_time_keeps_no_worker() -> None:
    idle = watched(idle_since=NOW - 300)
    for rate, desired in ((0.9 / 300, 0), (1.1 / 300, 1)):
        forecast = replace(GOOD, turns_per_s=rate)
        assert decide(POLICY, foreseen(0, 0, ready=1, forecast=forecast), idle, NOW).desired == desired
        assert decide(POLICY, foreseen(0, 0, forecast=forecast), idle, NOW).desired == desired


def test_bounds_and_budget_stand_over_the_floor() -> None:
    assert decide(replace(POLICY, max_workers=3), foreseen(0, 0), watched(), NOW).desired == 3
    assert decide(replace(POLICY, min_workers=6), foreseen(0, 0), watched(), NOW).desired == 6
    spent = replace(foreseen(0, 0, ready=1), spent_h=9.0)
    assert decide(replace(POLICY, gpu_hours_per_day=8.0), spent, watched(), NOW).desired == 0


def test_the_floor_is_held_as_every_need_is() -> None:
    """It goes at once when the forecast falls, the workers only when a start's time is over."""
    history, low = watched(), replace(GOOD, turns_per_s=1.0)
    high = foreseen(0, 1, ready=4)
    history = remember(
        history, policy=POLICY, signals=high, decision=decide(POLICY, high, history, NOW), grew=False, now=NOW
    )
    assert history.peaks[-1] == (NOW, 4)
    for later_s, desired in ((1.0, 4), (START_S - 1, 4), (START_S, 1)):
        signals = foreseen(0, 1, ready=4, forecast=low)
        assert signals.demand is not None
        signals = replace(signals, demand=replace(signals.demand, at=NOW + later_s))
        assert decide(POLICY, signals, history, NOW + later_s).desired == desired


# -- for any numbers -------------------------------------------------------------------------------
@quick
@given(policies, signals_, histories)
def test_it_never_wants_less_than_target_wait(policy: Policy, signals: Signals, history: History) -> None:
    policy = replace(policy, kind="forecast")
    plain = decide(replace(policy, kind="target_wait"), signals, history, NOW)
    decision = decide(policy, signals, history, NOW)
    assert plain.desired <= decision.desired <= policy.max_workers


@quick
@given(policies, signals_, histories, st.floats(0, 100), st.floats(0, 100))
def test_more_foreseen_never_means_fewer_workers(
    policy: Policy, signals: Signals, history: History, rate: float, more: float
) -> None:
    policy = replace(policy, kind="forecast")
    few, many = (
        decide(policy, replace(signals, forecast=replace(GOOD, turns_per_s=one)), history, NOW).desired
        for one in (rate, rate + more)
    )
    assert many >= few


@long
@given(
    st.integers(0, 40),
    st.integers(0, 40),
    st.floats(0.07, 0.4),
    st.sampled_from((5, 60, 180)),
    st.sampled_from((60.0, None)),
)
def test_constant_demand_settles_and_stays(
    per_s: int, expected: int, turn_s: float, start_s: int, cooldown_s: float | None
) -> None:
    """Whatever is foreseen, right or wrong: the greater of both needs, and no change after that."""
    policy = replace(POLICY, down_cooldown_s=cooldown_s)
    sizes = live(policy, [per_s] * 2000, turn_s=turn_s, start_s=start_s, foreseen=lambda at: fresh(at, expected))
    assert reversals(sizes) <= 2
    assert len(set(sizes[-600:])) == 1
    least = math.ceil(max(per_s, expected if per_s else 0) * turn_s - 1e-6)
    assert min(least, POLICY.max_workers) <= sizes[-1] <= least + 1


def fresh(at: float, rate: float) -> Forecast:
    """One that is always new and good."""
    return replace(GOOD, made_at=NOW + at, turns_per_s=rate)


@long
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=120),
    st.integers(0, 40),
    st.integers(0, 900),
    st.sampled_from((5, 60)),
    st.floats(0.07, 0.2),
)
def test_after_demand_and_its_forecast_end_the_fleet_reaches_its_minimum(
    arrivals: list[int], expected: int, until: int, start_s: int, turn_s: float
) -> None:
    policy = replace(POLICY, min_workers=1)
    bound = until + math.ceil(sum(arrivals) * turn_s) + 2 * start_s + int(policy.idle_to_zero_s) + 10
    sizes = live(
        policy,
        arrivals + [0] * bound,
        turn_s=turn_s,
        start_s=start_s,
        foreseen=lambda at: fresh(at, expected if at < until else 0.0),
    )
    assert sizes[-1] == policy.min_workers


@long
@given(
    st.lists(st.integers(0, 40), min_size=60, max_size=120),
    st.lists(st.integers(0, 40), min_size=4, max_size=4),
    st.sampled_from((5, 60)),
    st.sampled_from((60.0, None)),
)
def test_noise_and_new_forecasts_reverse_the_fleet_at_most_twice_in_a_window(
    noise: list[int], rates: list[int], start_s: int, cooldown_s: float | None
) -> None:
    """A forecast is made anew every five minutes, and says something else each time."""
    arrivals = [number for number in noise for _ in range(10)][:900]
    policy = replace(POLICY, down_cooldown_s=cooldown_s)
    sizes = live(
        policy,
        arrivals,
        turn_s=0.1,
        start_s=start_s,
        foreseen=lambda at: fresh(at, rates[int(at // 300) % 4]),
    )
    window_s = int(max(cooldown_s or 0.0, start_s))
    for begin in range(0, len(sizes), window_s):
        assert reversals(sizes[begin : begin + window_s]) <= 2
