"""What a client is told of a task's place in the queue. Pure."""

from __future__ import annotations

from typing import Any

from taskqueue.outlook import Place, Wait, expected_wait


def shown(place: Place | None) -> dict[str, Any] | None:
    """The member `queue` of a task that waits; None of one that does not."""
    if place is None:
        return None
    wait = expected_wait(place)
    return {
        "position": place.before + 1,
        "waiting": place.waiting,
        "expected_wait_s": None if wait is None else range_of(wait),
    }


def range_of(wait: Wait) -> dict[str, float | None]:
    """A range of seconds."""
    return {"low": wait.low_s, "high": wait.high_s}


def headers(place: Place | None) -> dict[str, str]:
    """The same for an answer whose form has no room for it; what is not known is left out."""
    if place is None:
        return {}
    said = {"x-queue-position": str(place.before + 1)}
    if (wait := expected_wait(place)) is not None:
        said["x-queue-expected-wait-low"] = f"{wait.low_s:g}"
        if wait.high_s is not None:
            said["x-queue-expected-wait-high"] = f"{wait.high_s:g}"
    return said
