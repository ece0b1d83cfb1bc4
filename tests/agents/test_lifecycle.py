"""The states of a task, as the table says."""

from __future__ import annotations

import pytest

from agents.lifecycle import OPEN, OUTCOMES, TRANSITIONS, ForbiddenTransition, TaskState, move, sources

S = TaskState


def test_the_words_of_the_design() -> None:
    assert {"queued", "running", "waiting"} == OPEN
    assert {"succeeded", "failed", "cancelled", "expired"} == OUTCOMES


@pytest.mark.parametrize("current", TaskState)
@pytest.mark.parametrize("target", TaskState)
def test_every_move(current: TaskState, target: TaskState) -> None:
    if target in TRANSITIONS[current]:
        assert move(current, target) is target
        assert current in sources(target)
    else:
        with pytest.raises(ForbiddenTransition, match=f"from {current} to {target}"):
            move(current, target)


def test_nothing_follows_an_outcome() -> None:
    assert all(not TRANSITIONS[outcome] for outcome in OUTCOMES)
    assert S.QUEUED in TRANSITIONS[S.RUNNING]  # a lost lease
