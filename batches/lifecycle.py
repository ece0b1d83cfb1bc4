"""The life of a batch: OpenAI's states and the moves between them, as one table. Pure."""

from __future__ import annotations

from enum import StrEnum


class BatchState(StrEnum):
    """Where a batch is. `failed` means that its file could not be run at all; lines that failed leave it `completed`."""

    VALIDATING = "validating"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


S = BatchState

TRANSITIONS: dict[BatchState, frozenset[BatchState]] = {
    S.VALIDATING: frozenset({S.IN_PROGRESS, S.CANCELLING, S.FAILED}),
    S.IN_PROGRESS: frozenset({S.FINALIZING, S.CANCELLING}),
    S.FINALIZING: frozenset({S.COMPLETED, S.EXPIRED}),
    S.CANCELLING: frozenset({S.CANCELLED}),
    S.COMPLETED: frozenset(),
    S.FAILED: frozenset(),
    S.EXPIRED: frozenset(),
    S.CANCELLED: frozenset(),
}

OUTCOMES = frozenset(state for state, following in TRANSITIONS.items() if not following)
OPEN = frozenset(BatchState) - OUTCOMES


class LineState(StrEnum):
    """Where a line is: it has no task yet; it has one; it has an answer or a failure."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


def sources(target: BatchState) -> list[str]:
    """The states from which `target` can be reached: the guard of an update."""
    return sorted(state for state, following in TRANSITIONS.items() if target in following)
