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
from orchestrator.policies.override import Override
from orchestrator.rollout import Course

Kind = Literal[
    "paused", "manual", "runtime", "blind", "maximum", "budget", "budget_near", "starts_fail", "room",
    "sparing", "stock", "preempted", "rolling", "canary", "failed", "reverted",
]  # fmt: skip

OF_ROLLOUT: frozenset[Kind] = frozenset({"rolling", "canary", "failed", "reverted"})
"""The states of a roll-out but the one in which nothing is to be told: there is one of them at most."""
QUIET_S = 10.0
COME_AND_GO: frozenset[Kind] = frozenset({"maximum", "room", "sparing", "preempted"})
RESAID: frozenset[Kind] = OF_ROLLOUT | {"starts_fail", "runtime", "sparing", "manual"}
"""Said again when they change: each failure is news."""
EACH_TIME: frozenset[Kind] = frozenset({"preempted"})
"""Events: other workers are meant each time, though the sentence may be the same."""

OVER: Mapping[Kind, str] = {
    "paused": "The pool is no longer paused.",
    "manual": "The size is no longer set by hand: the policy decides.",
    "runtime": "The runtime answers again.",
    "blind": "The queue's figures are there again.",
    "maximum": "The maximum no longer holds it back.",
    "budget": "The day's budget no longer holds it back.",
    "budget_near": "The day's budget is no longer nearly spent.",
    "starts_fail": "Starts go well again.",
    "room": "There is room again.",
    "stock": "No start waits for what its workers are made from any more.",
    "sparing": "Its failed start no longer keeps it from a place.",
    "preempted": "No more workers hand over to pools of higher priority.",
    "rolling": "The roll-out is over.",
    "canary": "The roll-out is over.",
    "failed": "The roll-out is over.",
    "reverted": "The roll-out is over.",
}
"""The sentence at its end (of a roll-out, where its outcome is not known). None is empty: what ends in silence would be believed
to stand after a restart, and not be said when it begins again."""
FOLLOWED_BY: Mapping[Kind, frozenset[Kind]] = {
    "starts_fail": frozenset({"failed"}),
    "budget_near": frozenset({"budget"}),
    **dict.fromkeys(OF_ROLLOUT, OF_ROLLOUT),
}
"""What says how it ended, if it begins at that moment."""
OF_WORK: frozenset[Kind] = frozenset({"maximum", "budget", "budget_near", "starts_fail", "room", "sparing", "stock"})
"""Of these nothing is known while the queue cannot be read; nor of the queue, while the fleet must not be touched."""


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


def noted(
    known: Mapping[Kind, Refusal],
    present: Mapping[Kind, str],
    now: float,
    *,
    outcome: str = "",
    unjudged: frozenset[Kind] = frozenset(),
) -> News:
    """What begins and what is over. `present`: what refuses at this moment, with its sentence.

    `outcome`: how the last roll-out ended; `unjudged`: of what nothing is known now, so that it is left as it was.
    """
    said: list[str] = []
    kept: dict[Kind, Refusal] = {}
    for kind, sentence in present.items():
        old = known.get(kind)
        if old is None or kind in EACH_TIME or (kind in RESAID and old.sentence != sentence):
            said.append(sentence)
            kept[kind] = Refusal(sentence, now)
        else:
            kept[kind] = Refusal(old.sentence, now)
    begun = present.keys() - known.keys()
    for kind, old in known.items():
        if kind in present:
            continue
        if kind in unjudged or (kind in COME_AND_GO and now - old.seen_at < QUIET_S):
            kept[kind] = old
        elif not begun & FOLLOWED_BY.get(kind, frozenset()):
            said.append(outcome if outcome and kind in OF_ROLLOUT else OVER[kind])
    return News(kept, tuple(said))


def unjudged(*, is_blind: bool, is_hindered: bool) -> frozenset[Kind]:
    """Of what nothing is known at this moment."""
    if is_hindered:
        return OF_WORK | {"blind"}
    return OF_WORK if is_blind else frozenset()


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


def of_override(override: Override, found: Mapping[Kind, str]) -> dict[Kind, str]:
    """A size that is set by hand, in place of the bounds that it stands over. `found`: what would bound the policy."""
    return {kind: said for kind, said in found.items() if kind not in ("maximum", "budget")} | {"manual": str(override)}


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
            return {}  # `outcome_of` tells
        case "rolling":
            return {"rolling": f"Revision {number} is being rolled out: {reason}"}
        case "canary":
            return {"canary": f"Revision {number}: {reason}"}
        case "failed":
            return {"failed": f"Revision {number} is not used: {reason}"}
        case "reverted":
            return {"reverted": f"Revision {number} is not used: {reason}"}


def outcome_of(course: Course, *, number: int, reason: str) -> str:
    """How the last roll-out ended, while there is none; else empty. `number`: of the revision that is used."""
    return f"Revision {number} is used: {reason}" if course.state == "steady" else ""
