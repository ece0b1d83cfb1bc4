"""A size that somebody set by hand: it stands over the policy until its time is over. Pure.

It stands over the policy's bounds and budget, too: who sets it has been told. It does not stand over what cannot be seen (the
fleet is left as it is then), nor over placement, which gives what the host has. What the policy wants is reckoned all the while
and remembered, so it goes on at the end as if it had decided all along.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from orchestrator.policies.demand import Decision


@dataclass(frozen=True, slots=True)
class Override:
    """So many `workers`, by whose word. `until` is Unix time; None: until somebody takes it back, as a drained pool's none."""

    workers: int
    by: str
    until: float | None = None

    def __str__(self) -> str:
        if self.until is None:
            return f"The pool is drained by {self.by}: no worker starts until it is resumed."
        end = datetime.fromtimestamp(self.until, UTC).strftime("%Y-%m-%d %H:%M UTC")
        return f"The size is set to {self.workers} until {end} by {self.by}."


def overridden(override: Override | None, decision: Decision, now: float) -> Decision:
    """The decision, or that size where it was set and its time is not over. What cannot be seen is left as it is."""
    if override is None or is_over(override, now) or decision.code == "blind":
        return decision
    return replace(
        decision,
        desired=override.workers,
        reason=f"{override} The policy wants {decision.desired}: {decision.reason}",
        code="manual",
        needed=decision.desired if decision.needed is None else decision.needed,
    )


def is_over(override: Override, now: float) -> bool:
    """Whether the policy decides again."""
    return override.until is not None and override.until <= now
