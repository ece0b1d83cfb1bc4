"""What keeps a fleet from changing, each said once when it begins and once when it is over. Pure.

Some come and go with every task (the maximum under load); such a one is over when it was away for `QUIET_S`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from orchestrator.backoff import Backoff
from orchestrator.plan import Plan, held_back
from orchestrator.policies import budget
from orchestrator.policies.demand import Decision, Policy, Signals, counted
from orchestrator.rollout import Course

Kind = Literal[
    "paused", "runtime", "blind", "maximum", "budget", "budget_near", "starts_fail", "room",
    "sparing", "stock", "preempted", "rolling", "canary", "failed", "reverted",
]  # fmt: skip

QUIET_S = 10.0
RESAID: frozenset[Kind] = frozenset(
    {"starts_fail", "runtime", "sparing", "preempted", "rolling", "canary", "failed", "reverted"}
)
"""Said again when they change: each failure is news."""

OVER: Mapping[Kind, str] = {
    "paused": "The pool is no longer paused.",
    "runtime": "The runtime answers again.",
    "blind": "The queue's figures are there again.",
    "maximum": "The maximum no longer holds it back.",
    "budget": "The day's budget no longer holds it back.",
    "budget_near": "",
    "starts_fail": "Starts go well again.",
    "room": "There is room again.",
    "stock": "",
    "sparing": "",
    "preempted": "",
    "rolling": "",
    "canary": "",
    "failed": "",
    "reverted": "",
}
"""The sentence at its end; empty: what comes next says it."""
GIVEN_UP: Mapping[Kind, Kind] = {"starts_fail": "failed"}
"""What is not over, though it is no longer there: the other says how it ended."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One that is known: what was said, and when it was last there."""

    sentence: str
    seen_at: float


@dataclass(frozen=True, slots=True)
class News:
    """The refusals known from now on, and what is to be said now."""

    known: Mapping[Kind, Refusal]
    sentences: tuple[str, ...] = ()


def noted(known: Mapping[Kind, Refusal], present: Mapping[Kind, str], now: float) -> News:
    """What begins and what is over. `present`: what refuses at this moment, with its sentence."""
    said: list[str] = []
    kept: dict[Kind, Refusal] = {}
    for kind, sentence in present.items():
        old = known.get(kind)
        again = old is not None and kind in RESAID and old.sentence != sentence
        if old is None or again:
            said.append(sentence)
        kept[kind] = Refusal(sentence if old is None or again else old.sentence, now)
    for kind, old in known.items():
        if kind in present:
            continue
        if kind in ("maximum", "room") and now - old.seen_at < QUIET_S:
            kept[kind] = old
        elif OVER[kind] and GIVEN_UP.get(kind) not in present:
            said.append(OVER[kind])
    return News(kept, tuple(said))


def of_work(policy: Policy, signals: Signals, decision: Decision, now: float) -> dict[Kind, str]:
    """What bounds the decision: the maximum and the budget."""
    found: dict[Kind, str] = {}
    needed = decision.needed
    if needed is not None and needed > policy.max_workers <= decision.desired:
        found["maximum"] = (
            f"The work alone would need {counted(needed, 'worker')}; the maximum is {policy.max_workers}."
        )
        if "the maximum is" in decision.reason:
            found["maximum"] = decision.reason  # said already
    hours = f"of the day's budget of {policy.gpu_hours_per_day:g} GPU-hours"
    if budget.is_spent(policy, signals):
        found["budget"] = (
            f"All {hours} are spent: no more than the minimum of {policy.min_workers} until {budget.until(now)}."
        )
        if "the day's budget" in decision.reason:
            found["budget"] = decision.reason
    elif budget.is_near(policy, signals):
        found["budget_near"] = f"{signals.spent_h:.1f} {hours} are spent; then the minimum is kept."
    return found


def of_starts(todo: Plan, backoffs: Iterable[Backoff], known: Mapping[Kind, Refusal]) -> dict[Kind, str]:
    """What holds starts back: failures (until one has held), room, what is not here. `backoffs`: of the revisions in use."""
    found: dict[Kind, str] = {}
    failing = [backoff for backoff in backoffs if backoff.failures]
    if failing and (todo.cause == "backoff" or "starts_fail" in known):
        found["starts_fail"] = held_back(max(failing, key=lambda backoff: backoff.until))
    if todo.cause == "room":
        found["room"] = todo.note
    if todo.cause == "stock" and todo.note:
        found["stock"] = todo.note
    return found


def of_rollout(course: Course, *, number: int, reason: str) -> dict[Kind, str]:
    """A roll-out that is under way, waits or has ended badly; `number`: the revision's."""
    match course.state:
        case "steady":
            return {}
        case "rolling":
            return {"rolling": f"Revision {number} is being rolled out: {reason}"}
        case "canary":
            return {"canary": f"Revision {number}: {reason}"}
        case "failed":
            return {"failed": f"Revision {number} is not used: {reason}"}
        case "reverted":
            return {"reverted": f"Revision {number} is not used: {reason}"}
