"""A standby: so many workers are kept free beyond those that the work occupies, always, within the pool's bounds. Pure.

Occupied are as many workers as the running turns would fill, not those that happen to run one: turns spread over all workers, so by
that count each new standby worker would soon need another. What waits is the policy's matter. The need enters the policy's memory
as its own does, so a standby shrinks no sooner than the policy would.
"""

from __future__ import annotations

from dataclasses import replace

from orchestrator.policies.demand import Decision, Demand, Policy, Signals, counted


def with_standby(policy: Policy, signals: Signals, demand: Demand, decision: Decision) -> Decision:
    """The decision, raised to the occupied workers and the standby where it is lower."""
    if not policy.standby_workers:
        return decision
    occupied = -(-demand.running // signals.slots)
    floor = occupied + policy.standby_workers
    needed = None if decision.needed is None else max(decision.needed, floor)
    if decision.desired >= floor:
        return replace(decision, needed=needed)
    kept = f"{counted(policy.standby_workers, 'worker')} in standby beside {occupied} that the running turns fill"
    return Decision(
        floor,
        f"{decision.reason.rstrip('.')}, but {kept}: {floor}.",
        "hold" if floor == signals.current else "bounds" if floor > signals.current else decision.code,
        needed,
    )
