"""A scaling decision as the page tells it: what was wanted, the reason in a sentence, and what was known then."""

from __future__ import annotations

from typing import Any

from orchestrator.models import ScalingDecision
from orchestrator.policies.demand import counted, seconds
from orchestrator.replay import in_words


def told(decision: ScalingDecision) -> dict[str, Any]:
    """As plain values, ready for JSON."""
    return {
        "id": str(decision.pk),
        "at": decision.at.timestamp(),
        "current": decision.current,
        "desired": decision.desired,
        "reason": decision.reason,
        "signals": known_then(decision.signals),
    }


def known_then(stored: dict[str, Any]) -> str:
    """The signals that it was made from, in a sentence."""
    facts = []
    if stored.get("waiting") is not None:
        facts.append(f"{counted(stored['waiting'], 'task')} waiting, {stored.get('running') or 0} running")
    if stored.get("oldest_wait_s"):
        facts.append(f"the oldest for {seconds(stored['oldest_wait_s'])}")
    if (needed := stored.get("needed")) is not None:
        facts.append(f"the work alone would need {counted(needed, 'worker')}")
    return "; ".join(filter(None, [*facts, in_words(stored)]))
