"""The scaling decision: a policy's answer, kept within its bounds. Pure: values in, a value out.

A new policy is a function of the same signature in `POLICIES`; blindness, bounds and memory are handled here for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from orchestrator.policies.arrivals import Arrivals, after
from orchestrator.policies.budget import within_budget
from orchestrator.policies.demand import Decision, Demand, History, Policy, Signals, counted, seconds
from orchestrator.policies.forecast import forecast
from orchestrator.policies.queue_depth import calm_s, queue_depth
from orchestrator.policies.schedule import Floor, highest
from orchestrator.policies.standby import with_standby
from orchestrator.policies.target_wait import hold_s, target_wait

STALE_S = 5.0
"""Signals older than this are no signals."""

EDITION = 2
"""Raised whenever the same inputs give another decision than before: what an earlier edition decided cannot be made again."""

POLICIES: Mapping[str, Callable[[Policy, Signals, Demand, History, float], Decision]] = {
    "queue_depth": queue_depth,
    "target_wait": target_wait,
    "forecast": forecast,
}


class UnknownPolicy(Exception):
    """A policy's kind has no function: choose one of those that the message names."""


def decide(policy: Policy, signals: Signals, history: History, now: float) -> Decision:
    """How many workers there should be, and why. Without fresh signals the fleet is left as it is."""
    current = signals.current
    demand = signals.demand
    if demand is None:
        reason = f"The queue cannot be read: {counted(current, 'worker')} left as they are."
        return Decision(current, reason, "blind")
    if not -STALE_S <= now - demand.at <= STALE_S:
        off = seconds(abs(now - demand.at))
        reason = f"The queue's figures are {off} off the clock: {counted(current, 'worker')} left as they are."
        return Decision(current, reason, "blind")
    try:
        function = POLICIES[policy.kind]
    except KeyError:
        raise UnknownPolicy(f"No policy is called {policy.kind!r}; there are: {', '.join(sorted(POLICIES))}.") from None
    floor = highest(policy.floors, time_zone=policy.time_zone, now=now, ahead_s=signals.start_s or 0.0)
    decision = with_standby(policy, signals, demand, function(policy, signals, demand, history, now))
    return within_budget(policy, signals, bounded(policy, current, decision, floor), now)


def hindered(signals: Signals, hindrances: Sequence[str]) -> Decision:
    """The decision while the fleet cannot, or must not, be touched: the sentences say why."""
    return Decision(signals.current, f"{' '.join(hindrances)} The fleet is left as it is.", "blind")


def bounded(policy: Policy, current: int, decision: Decision, floor: Floor | None = None) -> Decision:
    """Minimum (or the time table's floor) and maximum stand over every policy, without cooldown."""
    if decision.desired > policy.max_workers:
        limit = f"the maximum is {policy.max_workers}."
        if current > policy.max_workers:
            return replace(decision, desired=policy.max_workers, code="bounds", reason=_but(decision.reason, limit))
        code = "hold" if current == policy.max_workers else decision.code
        return replace(decision, desired=policy.max_workers, code=code, reason=_but(decision.reason, limit))
    least, limit = policy.min_workers, f"the minimum is {policy.min_workers}."
    if floor is not None and floor.workers > least:
        least = min(floor.workers, policy.max_workers)
        limit = f"the minimum is {least} by the schedule ({floor})."
    if decision.desired < least:
        code = "hold" if current == least else "bounds" if current < least else decision.code
        return replace(decision, desired=least, code=code, reason=_but(decision.reason, limit))
    return decision


def least(policy: Policy, *, now: float) -> int:
    """The workers that the pool keeps at this moment, whatever else is decided: its minimum, or the time table's."""
    floor = highest(policy.floors, time_zone=policy.time_zone, now=now, ahead_s=0.0)
    return max(policy.min_workers, min(floor.workers, policy.max_workers) if floor else 0)


def _but(reason: str, limit: str) -> str:
    return f"{reason.rstrip('.')}, but {limit}"


def remember(
    history: History, *, policy: Policy, signals: Signals, decision: Decision, grew: bool, now: float
) -> History:
    """The history after this decision, which started workers or did not (it may have been held back).

    A break in the signals starts it anew: time not seen is not idle time.
    """
    demand = signals.demand
    if decision.code == "blind" or demand is None:
        return History(grown_at=history.grown_at, arrivals=history.arrivals)
    needed = decision.needed if decision.needed is not None else decision.desired
    window_s = max(hold_s(policy, signals), calm_s(policy))
    kept = [(at, count) for at, count in history.peaks if count > needed and at > now - window_s]
    idle = demand.waiting + demand.running == 0
    return History(
        seen_since=now if history.seen_since is None else history.seen_since,
        idle_since=None if not idle else now if history.idle_since is None else history.idle_since,
        grown_at=now if grew else history.grown_at,
        peaks=(*kept, (now, needed)),
        arrivals=_arrivals(history.arrivals, policy, demand),
    )


def _arrivals(past: Arrivals | None, policy: Policy, demand: Demand) -> Arrivals | None:
    """Kept under every policy: the memory is of the pool, so that another policy does not begin in ignorance."""
    if demand.arrived is None:
        return past
    return after(past, count=demand.arrived, now=demand.at, bound_s=policy.wait_bound_s)
