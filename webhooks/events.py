"""What is announced. Pure: a part of the service that announces something new adds its types here."""

from __future__ import annotations

EVENT_TYPES = (
    "task.succeeded", "task.failed", "task.cancelled", "task.expired", "task.waiting", "budget.warning", "budget.spent",
    "batch.completed", "batch.failed", "batch.expired", "batch.cancelled",
)  # fmt: skip
PING = "webhook.test"
"""Sent to one endpoint when somebody asks for it, whatever it listens to."""


class UnknownEventType(ValueError):
    """Nothing of this type is announced."""

    def __init__(self, name: str) -> None:
        super().__init__(f"nothing announces {name!r}; known are {', '.join(EVENT_TYPES)}")


def check_types(types: list[str]) -> list[str]:
    """The types, each once and sorted. Raises UnknownEventType."""
    for name in types:
        if name not in EVENT_TYPES:
            raise UnknownEventType(name)
    return sorted(set(types))
