"""Where a message stands, as a table."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from agents.branches import Busy, Moved, Standing, Start, Wait, WhenBusy, at_head, follows, next_of

A, B, C, D = (uuid.UUID(int=number) for number in range(4))


def reply(task: uuid.UUID, line: uuid.UUID = A, **more: Any) -> Standing:
    return Standing(task=task, line=line, **more)


RUNS = reply(A, question=3, after=2)
WAITS = reply(B)
ENDED = reply(A, question=3, after=2, answer=4, ended=True)
ELSEWHERE = reply(D, D, question=9, after=2)


@pytest.mark.parametrize(
    ("head", "read_at", "replies", "rule", "verdict"),
    [
        (None, None, [], "queue", Start(None)),
        (4, 4, [], "refuse", Start(4)),
        (4, 2, [], "queue", Moved()),
        (4, 4, [ENDED], "queue", Start(4)),
        (4, 4, [ELSEWHERE], "refuse", Start(4)),  # another branch is busy
        (3, 2, [RUNS], "queue", Wait(A)),  # its past is read again anyway
        (3, 3, [RUNS, WAITS, ELSEWHERE], "refuse", Busy(A)),
        (3, 3, [RUNS, WAITS], "interrupt", Wait(A, (A, B), "interrupt")),
        (4, 4, [ENDED, WAITS], "queue", Wait(A)),  # whoever waits comes first
        (4, 4, [ENDED, WAITS], "roll_back", Wait(A, (B,), "roll_back")),
        (7, 7, [WAITS], "queue", Wait(A)),  # the one that it waited for was withdrawn
        (3, 3, [RUNS, reply(C, C, question=3, after=2)], "queue", Wait(C)),  # of two answers to one question the later
    ],
)
def test_at_the_head(head: int, read_at: int, replies: list[Standing], rule: str, verdict: object) -> None:
    assert at_head(head=head, read_at=read_at, replies=replies, rule=WhenBusy(rule)) == verdict


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ([RUNS], None),
        ([RUNS, WAITS], None),
        ([ENDED], None),
        ([ENDED, WAITS, reply(C)], (B, 4)),
        ([ENDED, reply(B, ended=True), reply(C)], (C, 4)),  # cancelled while it waited
        ([ENDED, reply(B, superseded="interrupt"), reply(C)], (C, 4)),
        ([reply(A, question=3, after=2, ended=True), WAITS], (B, 3)),  # no answer
        ([reply(A, question=3, after=2, answer=4, ended=True, superseded="interrupt"), WAITS], (B, 4)),
        ([reply(A, question=3, after=2, answer=4, ended=True, superseded="roll_back"), WAITS], (B, 2)),
        ([reply(A, question=1, ended=True, superseded="roll_back"), WAITS], (B, None)),
        ([ENDED, reply(B, question=5, after=4), reply(C)], None),
        ([WAITS], (B, 8)),
    ],
)
def test_whose_turn_it_is(line: list[Standing], found: object) -> None:
    assert next_of(line, head=8) == found


@pytest.mark.parametrize(
    ("line", "head", "goes_along"), [([ENDED], 4, True), ([ENDED], 3, True), ([ENDED], 9, False), ([WAITS], 9, True)]
)
def test_the_head_goes_along_if_it_is_there(line: list[Standing], head: int, goes_along: bool) -> None:
    assert follows(line, head=head) is goes_along
