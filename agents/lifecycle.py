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
ENDED_BADLY = OUTCOMES - {S.SUCCEEDED}

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


class CallState(StrEnum):
    """Where a tool call is. `waiting`: for a person's answer, or for the task that it was handed over to."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


CALL_TRANSITIONS: dict[CallState, frozenset[CallState]] = {
    # From `pending` it also fails at once: its task ended, or it names no tool.
    CallState.PENDING: frozenset({CallState.RUNNING, CallState.FAILED}),
    # Back to `pending`: its runner was lost, and the tool is idempotent.
    CallState.RUNNING: frozenset({CallState.PENDING, CallState.WAITING, CallState.SUCCEEDED, CallState.FAILED}),
    CallState.WAITING: frozenset({CallState.SUCCEEDED, CallState.FAILED}),
    CallState.SUCCEEDED: frozenset(),
    CallState.FAILED: frozenset(),
}

ENDED_CALLS = frozenset(state for state, following in CALL_TRANSITIONS.items() if not following)
