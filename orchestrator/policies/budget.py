"""A pool's GPU-hours of a calendar day (UTC): counted, and a bound of its fleet. Pure.

A worker spends its GPUs, or its share of one (without GPUs the unit is the worker-hour), from its start to its end. When the
day's hours are spent the fleet goes to its minimum, whatever its time table says, and never below; at midnight (UTC) they are whole
again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from orchestrator.policies.demand import Code, Decision, Policy, Signals, counted

DAY_S = 86_400.0
NEAR = 0.9
"""From this share on it is said that the budget is nearly spent."""


@dataclass(frozen=True, slots=True)
class Span:
    """A worker's life in Unix seconds, with its GPUs; `ended_at` None: it lives."""

    begun_at: float
    ended_at: float | None
    gpus: float


def day_of(now: float) -> float:
    """When the day of `now` began (UTC)."""
    return now - now % DAY_S


def hours(spans: list[Span], now: float) -> float:
    """GPU-hours of these lives that fall into the day of `now`."""
    day = day_of(now)
    return (
        sum(
            max(0.0, min(now, now if span.ended_at is None else span.ended_at) - max(day, span.begun_at)) * span.gpus
            for span in spans
        )
        / 3600
    )


def is_spent(policy: Policy, signals: Signals) -> bool:
    """Whether the day's hours are over."""
    return policy.gpu_hours_per_day > 0 and signals.spent_h is not None and signals.spent_h >= policy.gpu_hours_per_day


def is_near(policy: Policy, signals: Signals) -> bool:
    """Whether they soon are."""
    if policy.gpu_hours_per_day <= 0 or signals.spent_h is None or is_spent(policy, signals):
        return False
    return signals.spent_h >= NEAR * policy.gpu_hours_per_day


def until(now: float) -> str:
    """When the next day begins, for a sentence."""
    return datetime.fromtimestamp(day_of(now) + DAY_S, UTC).strftime("%Y-%m-%d %H:%M UTC")


def within_budget(policy: Policy, signals: Signals, decision: Decision, now: float) -> Decision:
    """The decision, or the minimum when the day's hours are spent."""
    if not is_spent(policy, signals) or decision.desired <= policy.min_workers:
        return decision
    reason = (
        f"{decision.reason.rstrip('.')}, but the day's budget of {policy.gpu_hours_per_day:g} GPU-hours is spent: "
        f"the minimum of {counted(policy.min_workers, 'worker')} until {until(now)}."
    )
    code: Code = "hold" if signals.current <= policy.min_workers else "budget"
    return replace(decision, desired=policy.min_workers, code=code, reason=reason)
