"""The life of a task: its states and the moves between them, as one table. Pure."""

from __future__ import annotations

from enum import StrEnum


class TaskState(StrEnum):
    """Where a task is. The last four are outcomes: there is exactly one, and nothing follows it."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


S = TaskState

TRANSITIONS: dict[TaskState, frozenset[TaskState]] = {
    # A task may end from `queued` in any way: the end of a turn can be recorded before its claim was.
    S.QUEUED: frozenset({S.RUNNING, S.SUCCEEDED, S.FAILED, S.CANCELLED, S.EXPIRED}),
    S.RUNNING: frozenset({S.QUEUED, S.WAITING, S.SUCCEEDED, S.FAILED, S.CANCELLED, S.EXPIRED}),
    S.WAITING: frozenset({S.QUEUED, S.FAILED, S.CANCELLED, S.EXPIRED}),
    S.SUCCEEDED: frozenset(),
    S.FAILED: frozenset(),
    S.CANCELLED: frozenset(),
    S.EXPIRED: frozenset(),
}

OUTCOMES = frozenset(state for state, following in TRANSITIONS.items() if not following)
OPEN = frozenset(TaskState) - OUTCOMES

DEAD_LETTER_CODES = frozenset({"poison", "attempts_exhausted"})
"""Errors of a failed task that its fleet could not run, whatever it asked for: staff may run it again."""


class ForbiddenTransition(ValueError):
    """A task cannot go from this state to that one."""

    def __init__(self, current: TaskState, target: TaskState) -> None:
        allowed = ", ".join(sorted(TRANSITIONS[current])) or "nothing: it is an outcome"
        super().__init__(f"a task cannot go from {current} to {target}; from {current} it can go to {allowed}")


def move(current: TaskState, target: TaskState) -> TaskState:
    """The new state, or `ForbiddenTransition`."""
    if target not in TRANSITIONS[current]:
        raise ForbiddenTransition(current, target)
    return target


def sources(target: TaskState) -> frozenset[TaskState]:
    """The states from which `target` can be reached: the guard of a bulk update."""
    return frozenset(state for state, following in TRANSITIONS.items() if target in following)
