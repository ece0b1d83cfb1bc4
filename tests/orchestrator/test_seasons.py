"""The seasonal forecast: it sees a wave before it comes, says how good it is, and finds no season where there is none."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
import pytest

from orchestrator.history.curve import Curve
from orchestrator.history.seasons import STEP_S, History, forecast, history_of
from orchestrator.policies.forecast import BETTER, TRUSTED

DAY_S = 86_400.0
HOUR_S = 3600.0
Rate = Callable[[float], float]


def wave(at: float) -> float:
    """From 0.5 turns/s at midnight to 12 at noon."""
    return 6.25 - 5.75 * math.cos(2 * math.pi * at / DAY_S)


def rush(at: float) -> float:
    """From 9 to 10 o'clock."""
    return 8.0 if 9 * HOUR_S <= at % DAY_S < 10 * HOUR_S else 0.0


def working_week(at: float) -> float:
    return wave(at) if at // DAY_S % 7 < 5 else 0.5


def recorded(rate: Rate, *, days: float, seed: int = 1) -> History:
    """Poisson counts of a load that has gone on until now."""
    dice = np.random.default_rng(seed)
    steps = int(days * DAY_S / STEP_S)
    counts = dice.poisson([rate(place * STEP_S) * STEP_S for place in range(steps)])
    return history_of({place: float(count) / STEP_S for place, count in enumerate(counts)}, ends_at=days * DAY_S)


def trusted(curve: Curve | None) -> bool:
    """As the policy judges it."""
    if curve is None or curve.error is None or curve.plain_error is None:
        return False
    return curve.error <= TRUSTED and curve.error <= BETTER * curve.plain_error


def made(history: History) -> Curve:
    curve = forecast(history, made_at=history.ends_at)
    assert curve is not None
    return curve


@pytest.mark.parametrize("days", [2, 3.4, 9.75, 28])
def test_a_daily_wave_is_foreseen(days: float) -> None:
    curve = made(recorded(wave, days=days))
    assert trusted(curve)
    assert curve.season == "day"
    for place, rate in enumerate(curve.turns_per_s):
        assert rate == pytest.approx(wave(days * DAY_S + (place + 0.5) * STEP_S), abs=0.8)


def test_a_rush_is_foreseen_before_it_begins() -> None:
    """At half past eight nothing has come for hours."""
    curve = made(recorded(rush, days=5 + 8.5 / 24))
    assert trusted(curve)
    foreseen = [curve.at(curve.begins_at + 60.0 * minute, ahead_s=180.0) for minute in (0, 26, 28, 40)]
    assert [round(one.turns_per_s) if one else None for one in foreseen] == [0, 0, 8, 8]


def test_a_week_is_told_from_a_day() -> None:
    """Friday evening: Saturday will be as the last ones were, not as Friday was."""
    curve = made(recorded(working_week, days=26.5))  # noon of a Saturday
    assert curve.season == "week"
    assert trusted(curve)
    assert max(curve.turns_per_s) < 1


@pytest.mark.parametrize("seed", range(5))
def test_a_load_without_a_season_gives_no_floor(seed: int) -> None:
    dice = random.Random(seed)
    level, walk = 5.0, []
    for _ in range(14 * 288):
        level = max(0.0, level + dice.gauss(0, 0.2))
        walk.append(level)
    loads = {
        "steady": recorded(lambda at: 5.0, days=14, seed=seed).turns_per_s,
        "walk": np.array(walk),
        "bursts": np.array([20.0 if dice.random() < 0.1 else 0.2 for _ in range(14 * 288)]),
    }
    for name, values in loads.items():
        assert not trusted(forecast(History(14 * DAY_S, values), made_at=0.0)), name


def test_too_short_a_history_gives_none() -> None:
    assert forecast(recorded(wave, days=0), made_at=0.0) is None
    assert forecast(recorded(wave, days=1), made_at=0.0) is None
    assert not trusted(forecast(recorded(wave, days=1.5), made_at=0.0))


def test_a_pool_that_was_never_used_gives_none() -> None:
    assert forecast(recorded(lambda at: 0.0, days=9), made_at=0.0) is None


def test_a_pattern_that_has_ended_is_no_longer_believed_within_hours() -> None:
    """On the tenth day the wave does not come."""
    still = recorded(lambda at: wave(at) if at < 9.3 * DAY_S else 0.0, days=9.4)
    later = recorded(lambda at: wave(at) if at < 9.3 * DAY_S else 0.0, days=9.7)
    assert trusted(made(still))
    assert not trusted(made(later))


def test_gaps_are_no_zeros() -> None:
    history = recorded(wave, days=6.5)
    values = history.turns_per_s.copy()
    values[3 * 288 : 4 * 288] = np.nan
    values[-100:-80] = np.nan
    curve = made(History(history.ends_at, values))
    assert trusted(curve)
    assert curve.turns_per_s[0] == pytest.approx(wave(6.5 * DAY_S), abs=0.8)


def test_who_saw_too_little_of_the_last_day_does_not_judge() -> None:
    values = recorded(wave, days=6.5).turns_per_s.copy()
    values[-100:] = np.nan
    assert forecast(History(6.5 * DAY_S, values), made_at=0.0) is None


def test_a_forecast_for_the_past_knew_nothing_later() -> None:
    """What comes after a moment changes no error up to it: the error of a doubled present is that of the past and of it alone."""
    history = recorded(wave, days=8)
    cut = history.turns_per_s[:-12]
    before = made(History(history.ends_at - HOUR_S, cut))
    changed = np.concatenate([cut, history.turns_per_s[-12:] * 3])
    after = made(History(history.ends_at, changed))
    sums = float(cut[-288:].sum()), float(changed[-288:].sum())
    assert before.error is not None
    assert after.error is not None
    assert after.error == pytest.approx(before.error * sums[0] / sums[1] + 2 * float(cut[-1]) * 12 / sums[1], abs=0.05)


def test_a_curve_says_nothing_of_other_times() -> None:
    curve = Curve(made_at=1000.0, begins_at=900.0, step_s=300.0, turns_per_s=(1.0, 5.0, 2.0), error=0.1)
    assert curve.at(899.0, ahead_s=60.0) is None
    assert curve.at(1800.0, ahead_s=60.0) is None
    rates = [curve.at(at, ahead_s=60.0) for at in (900.0, 1139.0, 1140.0, 1500.0, 1799.0)]
    assert [one.turns_per_s if one else None for one in rates] == [1.0, 1.0, 5.0, 2.0, 2.0]
