"""The target-wait policy: so many workers that the share `wait_share` of all tasks waits for at most `wait_bound_s`.

A worker that is ordered now serves one cold start (`start_s`) later, so the fleet must fit what will come then. Three
things are looked at, all in turns per second, and the greatest counts; a worker serves 1 / `turn_s` of them.

1. The expectation (`orchestrator.policies.expectation`): the need one cold start ahead, as the last quarter of an hour
   lets expect it, with its margin. Where a start takes no longer than the bound nothing is expected: what comes
   unforeseen can wait for the worker that is ordered for it.
2. What the last half minute has already shown to be needed (`orchestrator.policies.arrivals`).
3. The burst: what waits, and what will come until a worker ordered now is ready, less what the workers that are
   there, or on their way, can serve by then. What is left over must be gone one more cold start later (`DRAIN_S` at
   least): so the fleet overshoots to clear a queue, and no longer than for that. What will come is what came in the last
   half of a cold start: a burst that is to last for so long has lasted for half of it, and a short look is not deceived by
   calm that came before.

Growing waits for nothing, and workers that are starting count once: in the fleet's size, and in the burst by the time
for which they will have served. An idle worker is kept for as long as a start takes. That is the ski-rental rule: to
keep it costs its time, to want it back costs a start's, and who keeps it until the two are equal pays at most twice what
foresight would have paid, which no other certain rule can better (Karlin, Manasse, Rudolph and Sleator, "Competitive snoopy
caching", 1988). A fleet that starts in 5 s so gives back in 5 s, one that starts in three minutes holds for three. A
down cooldown that the policy sets may lengthen this.

Shrinking goes to the highest need of that time, never under what now runs, so that those who remain can hold it; and
only when the signals came without a break for so long. To zero after the idle time, back from zero with the first task:
a pool at zero starts nothing on a forecast.

Before a turn's cost or a start was measured, this is the queue-depth policy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from orchestrator.policies.arrivals import BUCKET_S, REACH, WINDOW, WINDOWS, Arrivals, after
from orchestrator.policies.demand import Code, Decision, Demand, History, Policy, Signals, counted, seconds
from orchestrator.policies.expectation import LINE, Expectation, expectation
from orchestrator.policies.queue_depth import queue_depth

WINDOW_S = WINDOW * BUCKET_S
REACH_S = REACH * BUCKET_S

DRAIN_S = 5.0
"""A queue is not cleared faster than this: the usual bound."""

SPAN = 0.5
"""Of a cold start: how far back the burst looks for what will come, within what is remembered."""

FARTHEST = WINDOWS // 2
"""Windows: what lies farther ahead than half of the memory cannot be judged by it."""

HAIR = 1e-6
"""So much of a worker is rounding, not need."""


@dataclass(frozen=True, slots=True)
class _Need:
    """Workers that are needed, and the figures that say so."""

    workers: int
    because: str = ""


@dataclass(frozen=True, slots=True)
class _Known:
    """All that a decision looks at."""

    policy: Policy
    signals: Signals
    demand: Demand
    history: History
    now: float
    memory: Arrivals
    turn_s: float
    start_s: float

    def need(self, turns_per_s: float, because: str) -> _Need:
        """Workers that serve so many turns a second."""
        return _Need(math.ceil(turns_per_s * self.turn_s - HAIR), because)


def hold_s(policy: Policy, signals: Signals) -> float:
    """How long a need holds its workers: as long as a start takes, or as the policy sets where that is longer."""
    return max(policy.down_cooldown_s or 0.0, signals.start_s or 0.0)


def target_wait(policy: Policy, signals: Signals, demand: Demand, history: History, now: float) -> Decision:
    """The policy itself; the bounds are applied by `orchestrator.policies.decide.decide`."""
    if demand.arrived is None or signals.turn_s is None or signals.start_s is None:
        return _unmeasured(policy, signals, demand, history, now)
    current = signals.current
    idle = demand.waiting + demand.running == 0
    if idle and current == 0:
        return Decision(0, "Nothing waits or runs, and no worker is there.", "hold", 0)
    if idle and history.idle_since is not None and now - history.idle_since >= policy.idle_to_zero_s:
        return Decision(0, f"No work for {seconds(policy.idle_to_zero_s)}: no worker is needed.", "to_zero", 0)
    memory = after(history.arrivals, count=demand.arrived, now=demand.at, bound_s=policy.wait_bound_s)
    known = _Known(policy, signals, demand, history, now, memory, signals.turn_s, signals.start_s)
    ahead = min(max(1, math.ceil(signals.start_s / WINDOW_S)), FARTHEST)
    expected = expectation(memory.needs, ahead=ahead, share=policy.wait_share)
    need = max(
        _least(known), _by_expectation(known, expected), _shown(known), _burst(known), key=lambda one: one.workers
    )
    if need.workers > current:
        goal = f"{policy.wait_share:.4g} of them under {seconds(policy.wait_bound_s)}"
        keep = f"1 worker keeps {goal}" if need.workers == 1 else f"{need.workers} workers keep {goal}"
        code: Code = "from_zero" if current == 0 else "up"
        return Decision(need.workers, f"{need.because}: {keep}; {current} → {need.workers}.", code, need.workers)
    if need.workers == current:
        enough = "1 worker is enough" if current == 1 else f"{current} workers are enough"
        return Decision(current, f"{need.because}: {enough}.", "hold", current)
    return _fewer(known, need, certain=expected is not None)


# -- what is needed --------------------------------------------------------------------------------
def _least(known: _Known) -> _Need:
    """The last worker stays until the idle time has passed."""
    waiting, running = known.demand.waiting, known.demand.running
    return _Need(1, f"{waiting} waiting, {running} running" if waiting + running else "No work")


def _by_expectation(known: _Known, expected: Expectation | None) -> _Need:
    if expected is None or known.start_s <= known.policy.wait_bound_s:
        return _Need(0)
    windows = {"last": 1, "trend": min(LINE, len(known.memory.needs)), "mean": len(known.memory.needs)}[expected.by]
    what = "as in" if expected.by == "last" else f"{expected.by} of"
    source = f"{what} the last {seconds(windows * WINDOW_S)}, + {expected.margin:.1f} by its errors"
    return known.need(expected.most, f"{expected.expected:.1f} turns/s expected in {seconds(known.start_s)} ({source})")


def _shown(known: _Known) -> _Need:
    shown = known.memory.shown(known.policy.wait_bound_s)
    return known.need(shown, f"{shown:.1f} turns/s were needed within the last half minute")


def _burst(known: _Known) -> _Need:
    """What a worker ordered now will find waiting, and the workers that clear it while they serve what comes."""
    if not known.demand.waiting:
        return _Need(0)
    grown_at, start_s = known.history.grown_at, known.start_s
    coming = known.memory.recent(min(max(BUCKET_S, SPAN * start_s), REACH_S))
    serving_s = 0.0 if grown_at is None else min(start_s, max(0.0, known.now - grown_at))
    served = (known.signals.ready * start_s + known.signals.starting * serving_s) / known.turn_s
    left = known.demand.waiting + coming * start_s - served
    if left <= 0:
        return _Need(0)
    drain_s = max(DRAIN_S, start_s)
    return known.need(
        coming + left / drain_s,
        f"{known.demand.waiting} waiting and {coming:.1f} turns/s coming, of which {left:.0f} will be left in "
        f"{seconds(start_s)}, to be cleared in {seconds(drain_s)} more",
    )


# -- going down ------------------------------------------------------------------------------------
def _fewer(known: _Known, need: _Need, *, certain: bool) -> Decision:
    current, history, window_s = known.signals.current, known.history, hold_s(known.policy, known.signals)
    would = f"{need.because}: {need.workers} would do"
    if history.seen_since is None or known.now - history.seen_since < window_s:
        reason = f"{would}, but the queue has not been watched for {seconds(window_s)} yet."
        return Decision(current, reason, "hold", need.workers)
    if not certain:
        reason = f"{would}, but no forecast has been tried yet since the watch began."
        return Decision(current, reason, "hold", need.workers)
    peak = max([need.workers, *(count for at, count in history.peaks if at > known.now - window_s)])
    turns = known.demand.running + known.demand.waiting
    holding = math.ceil(turns / known.signals.slots)
    if peak >= current:
        reason = f"{would}, but {peak} were needed within the last {seconds(window_s)}."
        return Decision(current, reason, "hold", need.workers)
    if holding >= current:
        reason = f"{would}, but {counted(turns, 'turn')} fill the slots of {holding}."
        return Decision(current, reason, "hold", need.workers)
    least = max(peak, holding)
    reason = (
        f"{need.because}: no more than {counted(least, 'worker')} needed for {seconds(window_s)}, {current} → {least}."
    )
    return Decision(least, reason, "down", need.workers)


# -- before anything was measured ------------------------------------------------------------------
def _unmeasured(policy: Policy, signals: Signals, demand: Demand, history: History, now: float) -> Decision:
    """By queue depth, but at most twice the ready workers (two at first), which measure before more is bet on them."""
    decision = queue_depth(policy, signals, demand, history, now)
    if demand.arrived is None:
        missing = "the queue does not count what comes in"
    elif signals.turn_s is None:
        missing = "it is not measured yet what a turn costs"
    else:
        missing = "it is not measured yet how long a start takes"
    reason = f"By queue depth, since {missing}: {decision.reason}"
    most = max(signals.current, 2 * max(1, signals.ready))
    if decision.desired <= most:
        return replace(decision, reason=reason)
    code: Code = "hold" if most == signals.current else decision.code
    return replace(decision, desired=most, code=code, reason=f"{reason.rstrip('.')}, but only {most} until then.")
