"""The forecast policy: `target_wait`, and under it a floor by a seasonal forecast of the pool's own history.

`target_wait` looks a quarter of an hour back, so it learns of a morning's rush when the rush is there, and starts nothing for a
pool at zero. A pool that has the same rush every day can have its workers ready. So the floor is what the forecast expects
at most until a worker ordered now would be ready (`Signals.forecast`), times what a turn costs a worker: expected
turns/s · turn_s, as `target_wait` reckons. There is no margin above the expectation; what comes beyond it is `target_wait`'s
matter. The floor is part of the need, and so is held as long as every need is.

A forecast is believed only for what its kind was worth in the past (`orchestrator/history/seasons.py` tries it there). Two
conditions stand for that. It lay off by no more than `TRUSTED` of what came. And by no more than `BETTER` of what forecasts
without a season did: else there is no season to speak of, and `target_wait` sees the level by itself, and sooner. Older than
`STALE_S` it is none, as any signal.

A whole worker for a rate next to nothing would never let a pool go to zero. One is kept, or started ahead, where a turn is
expected within the idle time, for which an idle worker would be kept after it as well.
"""

from __future__ import annotations

import math
from dataclasses import replace

from orchestrator.policies.demand import Code, Decision, Demand, Forecast, History, Policy, Signals, counted, seconds
from orchestrator.policies.target_wait import HAIR, target_wait

TRUSTED = 0.3
"""The greatest past error that is believed, as a part of what came."""

BETTER = 0.8
"""Of the error without a season: at least a fifth less."""

STALE_S = 900.0
"""A forecast that is older is none: three times as long as the next one takes to come."""


def forecast(policy: Policy, signals: Signals, demand: Demand, history: History, now: float) -> Decision:
    """The policy itself; the bounds are applied by `orchestrator.policies.decide.decide`."""
    decision = target_wait(policy, signals, demand, history, now)
    seen = signals.forecast
    if (doubt := _doubt(signals, seen, now)) or seen is None or signals.turn_s is None:
        return replace(decision, reason=f"{decision.reason} No floor by forecast: {doubt}.")
    least = floor(policy, signals, seen, turn_s=signals.turn_s)
    reason = f"{decision.reason} {_said(signals, seen, least)}"
    needed = None if decision.needed is None else max(decision.needed, least)
    if decision.desired >= least:
        return replace(decision, reason=reason, needed=needed)
    current = signals.current
    code: Code = "hold" if least == current else "down" if least < current else "up" if current else "from_zero"
    return Decision(least, reason, code, needed)


def floor(policy: Policy, signals: Signals, seen: Forecast, *, turn_s: float) -> int:
    """Workers that the expected rate fills; none for a turn that is not expected within the idle time, or a start's."""
    kept_s = max(policy.idle_to_zero_s, signals.start_s or 0.0)
    if seen.turns_per_s * kept_s < 1:
        return 0
    return max(0, math.ceil(seen.turns_per_s * turn_s - HAIR))


def _doubt(signals: Signals, seen: Forecast | None, now: float) -> str:
    """Why the forecast is not believed; empty: it is."""
    if signals.turn_s is None:
        return "it is not measured yet what a turn costs"
    if seen is None:
        return "there is none for this time"
    if abs(now - seen.made_at) > STALE_S:
        return f"the last is {seconds(abs(now - seen.made_at))} old, more than {seconds(STALE_S)}"
    return distrust(seen)


def distrust(seen: Forecast) -> str:
    """Why forecasts of its kind are not believed, by what they were worth in the past; empty: they are."""
    if seen.error is None:
        return "none could be tried on the past yet"
    off = f"by the {seen.season} they lay off by {seen.error:.1%} of what came"
    if seen.error > TRUSTED:
        return f"{off}, more than {TRUSTED:.0%}"
    if seen.plain_error is not None and seen.error > BETTER * seen.plain_error:
        return f"{off}, without a season by {seen.plain_error:.1%}; a fifth less is asked"
    return ""


def _said(signals: Signals, seen: Forecast, least: int) -> str:
    when = f"within {seconds(signals.start_s)}" if signals.start_s else "now"
    worth = f"such forecasts lay off by {seen.error:.0%} of what came, {TRUSTED:.0%} at most are trusted"
    expected = f"{seen.turns_per_s:.2g} turns/s are foreseen {when} by the {seen.season}"
    return f"{expected} ({worth}): {counted(least, 'worker')} at least."
