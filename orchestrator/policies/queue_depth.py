"""The queue-depth policy: so many waiting tasks are worth one worker more, with cooldowns.

Ready workers will take as much of the waiting work as they have free slots. What they then run needs ceil(run / slots)
workers; what still waits needs ceil(rest / waiting_per_worker) more. The answer is absolute, so workers that are
starting count once: while they start, the same queue gives the same number. Growing waits only for the up cooldown;
from zero it does not wait at all. Shrinking goes to the highest need of the whole down cooldown (the stabilisation
window of Kubernetes' HPA), and only when the signals came without a break for so long; so noise shorter than the
window cannot make the fleet flap.
"""

from __future__ import annotations

from orchestrator.policies.demand import Decision, Demand, History, Policy, Signals, counted, seconds

CALM_S = 60.0
"""The down cooldown of a policy that sets none: this one does not know what a start costs."""


def calm_s(policy: Policy) -> float:
    """For so long a need holds its workers."""
    return CALM_S if policy.down_cooldown_s is None else policy.down_cooldown_s


def needed_workers(policy: Policy, demand: Demand, *, slots: int, ready: int) -> int:
    """Workers that this demand is worth, unbounded."""
    free = max(0, ready * slots - demand.running)
    soon = min(demand.waiting, free)
    return _ceil(demand.running + soon, slots) + _ceil(demand.waiting - soon, policy.waiting_per_worker)


def queue_depth(policy: Policy, signals: Signals, demand: Demand, history: History, now: float) -> Decision:
    """The policy itself; the bounds are applied by `orchestrator.policies.decide.decide`."""
    current = signals.current
    needed = needed_workers(policy, demand, slots=signals.slots, ready=signals.ready)
    shown = _shown(demand)
    if demand.waiting + demand.running == 0:
        return _idle(policy, current, history, now)
    if current == 0:
        reason = f"{shown} and no worker: {counted(needed, 'worker')} at once."
        return Decision(needed, reason, "from_zero", needed)
    if needed > current:
        worth = (
            f"{counted(policy.waiting_per_worker, 'waiting task')} per worker, {counted(signals.slots, 'slot')} each"
        )
        more = f"{shown}; {worth}: {counted(needed - current, 'more worker')}, {current} → {needed}"
        wait_s = 0.0 if history.grown_at is None else history.grown_at + policy.up_cooldown_s - now
        if wait_s > 0:
            return Decision(
                current,
                f"{more}, but the last growth was less than {seconds(policy.up_cooldown_s)} ago.",
                "hold",
                needed,
            )
        return Decision(needed, f"{more}.", "up", needed)
    if needed < current:
        return _fewer(policy, history, now, current=current, needed=needed, shown=shown)
    return Decision(
        current,
        f"{shown}: {counted(current, 'worker')} are enough." if current != 1 else f"{shown}: 1 worker is enough.",
        "hold",
        needed,
    )


def _idle(policy: Policy, current: int, history: History, now: float) -> Decision:
    """No work: to zero after the idle time; down to one by the ordinary rule before that."""
    if current == 0:
        return Decision(0, "Nothing waits or runs, and no worker is there.", "hold", 0)
    idle_s = 0.0 if history.idle_since is None else now - history.idle_since
    if history.idle_since is not None and idle_s >= policy.idle_to_zero_s:
        return Decision(0, f"No work for {seconds(policy.idle_to_zero_s)}: no worker is needed.", "to_zero", 0)
    if current == 1:
        return Decision(
            1, f"No work; the last worker stays until {seconds(policy.idle_to_zero_s)} have passed.", "hold", 0
        )
    return _fewer(policy, history, now, current=current, needed=1, shown="No work")


def _fewer(policy: Policy, history: History, now: float, *, current: int, needed: int, shown: str) -> Decision:
    window_s = calm_s(policy)
    if history.seen_since is None or now - history.seen_since < window_s:
        reason = f"{shown}: {needed} would do, but the queue has not been watched for {seconds(window_s)} yet."
        return Decision(current, reason, "hold", needed)
    peak = max([needed, *(count for at, count in history.peaks if at > now - window_s)])
    if peak >= current:
        reason = f"{shown}: {needed} would do, but {peak} were needed within the last {seconds(window_s)}."
        return Decision(current, reason, "hold", needed)
    reason = f"{shown}: no more than {counted(peak, 'worker')} were needed for {seconds(window_s)}, {current} → {peak}."
    return Decision(peak, reason, "down", needed)


def _shown(demand: Demand) -> str:
    waiting = f"{demand.waiting} waiting"
    if demand.oldest_wait_s >= 1:
        waiting += f" (the first for {seconds(demand.oldest_wait_s)})"
    return f"{waiting}, {demand.running} running"


def _ceil(amount: int, per: int) -> int:
    return -(-amount // per)
