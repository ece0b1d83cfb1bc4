"""What stands of a pool now, in sentences: its place in line, its budget, what it may be told of its roll-out. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.policies.demand import counted, seconds
from taskqueue.outlook import Outlook, Pace

WORDS = {
    "rolling": ("go_on", "go_back"),
    "canary": ("go_on", "go_back"),
    "failed": ("try_again",),
    "reverted": ("try_again",),
}
"""What can be said to a roll-out in its states."""


def in_line(outlook: Outlook | None, pace: Pace, *, now_ms: int) -> list[str]:
    """What a task that comes now has before it, as clients are told (`taskqueue.outlook`)."""
    said = []
    if pace.turns:
        said.append(f"Turns have a slot for {seconds(pace.mean_ms / 1000)} on average.")
    if outlook is None:
        return [*said, "No orchestrator has foretold anything in the last seconds."]
    said.append(f"{counted(outlook.ready, 'slot')} {'serves' if outlook.ready == 1 else 'serve'} now.")
    if outlook.earliest:
        at = (outlook.earliest[0][0] - now_ms) / 1000
        said.append(
            f"Up to {_slots(outlook.earliest)} more may open, the first in {seconds(max(0.0, at))} at the soonest."
        )
    if outlook.latest:
        at = (outlook.latest[-1][0] - now_ms) / 1000
        said.append(f"{_slots(outlook.latest)} more are expected within {seconds(max(0.0, at))}.")
    if outlook.no_capacity:
        said.append(f"New tasks are refused: {outlook.no_capacity}")
    return said


def spent(spent_h: float, *, budget_h: float, has_gpus: bool) -> str:
    """The day's hours against the budget."""
    unit = "GPU-hours" if has_gpus else "worker-hours"
    if not budget_h:
        return f"{spent_h:.2f} {unit} today (UTC); there is no budget."
    return f"{spent_h:.2f} of {budget_h:g} {unit} of the day (UTC): {100 * spent_h / budget_h:.0f} %."


def _slots(steps: Iterable[tuple[int, int]]) -> str:
    return counted(sum(slots for _, slots in steps), "slot")
