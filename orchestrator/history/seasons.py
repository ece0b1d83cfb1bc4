"""A seasonal forecast of a pool's arrivals, and what such forecasts were worth. Pure; numpy and coreforecast are known here only.

The forecast is of Winters' kind (P. R. Winters, "Forecasting sales by exponentially weighted moving averages", 1960), in the form
that needs no fitting: what came at the same place of the last seasons (their mean), times the present level. The level is what came
lately against what the seasons let expect for it, both exponentially weighted with a half-life of `LEVEL_HALF_S`; where next
to nothing is expected, a tenth of the day's mean on both sides keeps it near 1.

A season is an hour, a day or a week. Each is tried on the past: for every step of the last week a forecast is made from what
was known `LEAD_S` before. The one that lay off least speaks. Its error is the sum of what it lay off, as a part of the sum of what
came (the weighted absolute percentage error), of the last day or of the last week, whichever is greater: so a pattern that
has ended is noticed within hours. Beside it stands the error of the better of two forecasts that know no season, the mean of
the last hour and of the last day. Without that comparison a load at one steady rate would pass for seasonal (Hyndman and
Koehler, "Another look at measures of forecast accuracy", 2006).

A gap in the history stays a gap: nothing is put in its place, neither in a mean nor in an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from coreforecast.exponentially_weighted import exponentially_weighted_mean
from coreforecast.rolling import rolling_mean, seasonal_rolling_mean
from numpy.typing import NDArray

from orchestrator.history.curve import Curve

STEP_S = 300.0
"""Of the history and of the curve: short against a season, long enough to tell a rate."""

LEAD_S = 3600.0
"""How long before its time a forecast is made when it is judged: longer than a start takes."""

AHEAD_S = 7200.0
"""How far the curve goes."""

LEVEL_HALF_S = 3600.0

HOUR, DAY, WEEK = 12, 288, 2016
"""Steps."""

LEAD, AHEAD = int(LEAD_S / STEP_S), int(AHEAD_S / STEP_S)

SEASONS: Mapping[str, tuple[int, int]] = {"hour": (HOUR, 24), "day": (DAY, 7), "week": (WEEK, 4)}
"""Steps of each, and over how many of them the mean goes."""

LEAST_TRIED = DAY * 3 // 4
"""Steps of the last day that must be known, with their forecasts: who judges by less is deceived by a quiet night."""

PRIOR = 0.1

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class History:
    """Mean rates (turns/s) of steps that follow each other without a break; NaN: a gap. The last one ends at `ends_at`."""

    ends_at: float
    turns_per_s: Values


def history_of(steps: Mapping[int, float], *, ends_at: float) -> History:
    """From rates by the number of their step since 1970; steps of which nothing is known are missing."""
    last = int(ends_at // STEP_S)
    known = [number for number in steps if number < last]
    first = min(known, default=last)
    values = np.full(last - first, np.nan)
    for number in known:
        values[number - first] = steps[number]
    return History(last * STEP_S, values)


def forecast(history: History, *, made_at: float) -> Curve | None:
    """The curve from the history's end on; None if no season could be tried on the past."""
    values = history.turns_per_s
    tried = {name: _Trial(values, *of) for name, of in SEASONS.items() if len(values) >= of[0] + DAY}
    tried = {name: trial for name, trial in tried.items() if trial.error is not None}
    if not tried:
        return None
    season = min(tried, key=lambda name: tried[name].long_error)
    best = tried[season]
    return Curve(
        made_at=made_at,
        begins_at=history.ends_at,
        step_s=STEP_S,
        turns_per_s=[round(float(value), 4) for value in best.ahead],
        error=best.error,
        plain_error=_plain_error(values, best.forecasts),
        season=season,
    )


class _Trial:
    """One season on one history."""

    def __init__(self, values: Values, season: int, over: int) -> None:
        known = len(values)
        padded = np.concatenate([values, np.full(AHEAD, np.nan)])
        means = seasonal_rolling_mean(padded, season, over, min_samples=1, skipna=True)
        expected = _later(means, season)
        level = _level(padded, expected)
        self.forecasts: Values = (expected * _later(level, LEAD))[:known]
        """For each step, as it was made `LEAD` before."""
        self.ahead: Values = np.nan_to_num(expected[known:] * level[known - 1])
        self.long_error = _error(values, self.forecasts, WEEK) or 0.0
        day = _error(values, self.forecasts, DAY)
        self.error = None if day is None else round(max(day, self.long_error), 4)


def _level(values: Values, expected: Values) -> Values:
    both = ~(np.isnan(values) | np.isnan(expected))
    alpha = 1 - 0.5 ** (STEP_S / LEVEL_HALF_S)
    came = exponentially_weighted_mean(np.where(both, values, np.nan), alpha, skipna=True)
    thought = exponentially_weighted_mean(np.where(both, expected, np.nan), alpha, skipna=True)
    prior = PRIOR * rolling_mean(values, DAY, min_samples=1, skipna=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        level: Values = (came + prior) / (thought + prior)
    return np.where(np.isfinite(level), level, 1.0)


def _plain_error(values: Values, beside: Values) -> float | None:
    """Of the better forecast without a season, over the steps of which there is a seasonal one."""
    errors = []
    for window in (HOUR, DAY):
        plain = _later(rolling_mean(values, window, min_samples=1, skipna=True), LEAD)
        error = _error(values, np.where(np.isnan(beside), np.nan, plain), WEEK)
        if error is not None:
            errors.append(error)
    return round(min(errors), 4) if errors else None


def _error(values: Values, forecasts: Values, last: int) -> float | None:
    """What the forecasts of the last steps lay off, as a part of what came; None if too few are known, or nothing came."""
    came, said = values[-last:], forecasts[-last:]
    both = ~(np.isnan(came) | np.isnan(said))
    total = float(came[both].sum())
    if int(both[-DAY:].sum()) < LEAST_TRIED or total <= 0:
        return None
    return float(np.abs(came[both] - said[both]).sum()) / total


def _later(values: Values, steps: int) -> Values:
    """What was known so many steps before each."""
    return np.concatenate([np.full(steps, np.nan), values[:-steps]])
