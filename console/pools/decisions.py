"""A scaling decision as the page tells it: what was wanted, the reason in a sentence, and what was known then."""

from __future__ import annotations

from typing import Any

from orchestrator.models import ScalingDecision
from orchestrator.replay import known_then


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
