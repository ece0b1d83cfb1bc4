"""A decision's inputs as JSON, and the same decision made again from them. Pure.

All that `decide` saw is stored as it was: the values are turned into JSON and back by their own types, so a policy that
remembers more, or a signal more, needs nothing here. JSON keeps every float exactly (Python writes the shortest digits that
give the same number again, and Postgres' jsonb keeps the digits). A field that a stored decision does not have yet is read as
its default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from orchestrator.policies.decide import EDITION, UnknownPolicy, decide, hindered
from orchestrator.policies.demand import Decision, History, Policy, Signals, counted, seconds
from orchestrator.policies.override import Override, overridden

FORM = 2
"""Of the JSON. What was stored before there were forms lacks some of what `decide` saw."""


class NotStored(Exception):
    """An older Opsite made this decision, by other policies, or stored it without all that it was made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """All that one decision was made from. With `hindrances` the fleet was not to be touched, and no policy was asked.

    `override`: a size that somebody had set by hand.
    """

    policy: Policy
    signals: Signals
    history: History
    now: float
    hindrances: tuple[str, ...] = ()
    override: Override | None = None


def decided(inputs: Inputs) -> Decision:
    """The decision."""
    if inputs.hindrances:
        return hindered(inputs.signals, inputs.hindrances)
    decision = decide(inputs.policy, inputs.signals, inputs.history, inputs.now)
    return overridden(inputs.override, decision, inputs.now)


def to_json(inputs: Inputs) -> dict[str, Any]:
    """The inputs as plain values, with the demand on top for readers."""
    demand = inputs.signals.demand
    return {
        "form": FORM,
        "edition": EDITION,
        "waiting": None if demand is None else demand.waiting,
        "running": None if demand is None else demand.running,
        "oldest_wait_s": None if demand is None else demand.oldest_wait_s,
        **msgspec.to_builtins(inputs),
    }


def from_json(stored: Mapping[str, Any]) -> Inputs:
    """The inputs again; raises `NotStored`."""
    if stored.get("form") != FORM:
        raise NotStored("It was stored by an older version, without all of its inputs.")
    try:
        return msgspec.convert(stored, Inputs)
    except msgspec.ValidationError as error:
        raise NotStored(f"Its inputs cannot be read: {error}.") from error


def differences(stored: Mapping[str, Any], *, current: int, desired: int, reason: str) -> Sequence[str]:
    """How the decision made again differs from what is stored of it; none if it is the same. Raises `NotStored`."""
    inputs = from_json(stored)
    if stored.get("edition") != EDITION:
        raise NotStored("The policies answer otherwise since then.")
    try:
        again = decided(inputs)
    except UnknownPolicy as error:
        raise NotStored(str(error)) from error
    pairs = {
        "current": (current, inputs.signals.current),
        "desired": (desired, again.desired),
        "code": (stored.get("code"), again.code),
        "needed": (stored.get("needed"), again.needed),
        "reason": (reason, f"{again.reason} {stored.get('note', '')}".strip()),
    }
    return [f"{name} was {was!r}, is {now!r}" for name, (was, now) in pairs.items() if was != now]


def turn_cost(stored: Mapping[str, Any]) -> float | None:
    """What a turn cost when that decision was made, in s of a full worker; None if it was not known."""
    try:
        return from_json(stored).signals.turn_s
    except NotStored:
        return None


def in_words(stored: Mapping[str, Any]) -> str:
    """The signals that were measured, for a reader; empty where the decision was stored without them."""
    try:
        signals = from_json(stored).signals
    except NotStored:
        return ""
    if signals.demand is None:
        return "The queue could not be read."
    facts = [f"{counted(signals.starting, 'worker')} starting, {signals.ready} ready, {signals.draining} draining"]
    if signals.demand.work_waiting is not None:
        facts.append(f"{counted(signals.demand.work_waiting, 'token')} waiting")
    if signals.demand.arrived is not None:
        facts.append(f"{counted(signals.demand.arrived, 'task')} arrived so far")
    facts.append("no speed measured" if signals.turn_s is None else f"{signals.turn_s:.3g} s of a full worker per task")
    facts.append("no start measured" if signals.start_s is None else f"{seconds(signals.start_s)} to start")
    if signals.forecast is not None:
        facts.append(f"{signals.forecast.turns_per_s:.2g} tasks per s foreseen")
    return "; ".join(facts)


def known_then(stored: Mapping[str, Any]) -> str:
    """The signals that it was made from, in a sentence."""
    facts = []
    if stored.get("waiting") is not None:
        facts.append(f"{counted(stored['waiting'], 'task')} waiting, {stored.get('running') or 0} running")
    if stored.get("oldest_wait_s"):
        facts.append(f"the oldest for {seconds(stored['oldest_wait_s'])}")
    if (needed := stored.get("needed")) is not None:
        facts.append(f"the work alone would need {counted(needed, 'worker')}")
    return "; ".join(filter(None, [*facts, in_words(stored)]))
