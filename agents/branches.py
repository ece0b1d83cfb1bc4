"""Where a message stands in a conversation of branches, and what it does while a task there has not ended. Pure.

A message follows an earlier one, so messages are a tree, and a path from its root is a branch. A task answers one message. A *line*
are the tasks that came for the same place one after the other: one of them runs, the others wait in the order of their arrival.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec


class WhenBusy(StrEnum):
    """What a message does while a task of its branch has not ended.

    These are LangGraph Platform's ways of "double texting": enqueue, reject, interrupt, rollback.
    """

    QUEUE = "queue"
    REFUSE = "refuse"
    INTERRUPT = "interrupt"
    ROLL_BACK = "roll_back"


ENDING = frozenset({WhenBusy.INTERRUPT, WhenBusy.ROLL_BACK})
"""These end the tasks that they find."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A task of a line, as it stands. Numbers are those of messages; None for the start of the conversation, or for none yet.

    `question`: the message that it answers, None while it waits. `after`: what its own messages follow. `superseded`: how a later
    message has it ended, if one does.
    """

    task: uuid.UUID
    line: uuid.UUID
    question: int | None = None
    after: int | None = None
    answer: int | None = None
    superseded: str = ""
    ended: bool = False

    @property
    def place(self) -> int | None:
        """The last message of its branch that stands there by now."""
        return self.question if self.answer is None else self.answer


class Start(NamedTuple):
    """It runs now, behind the message `after`."""

    after: int | None


class Wait(NamedTuple):
    """It waits in the line `line`, whose tasks `ends` are to end now, by the rule `how`."""

    line: uuid.UUID
    ends: tuple[uuid.UUID, ...] = ()
    how: str = ""


class Busy(NamedTuple):
    """It is refused: `task` has not ended."""

    task: uuid.UUID


class Moved(NamedTuple):
    """The conversation went on since its past was read: it is to be read anew."""


def at_head(
    *, head: int | None, read_at: int | None, replies: Sequence[Standing], rule: WhenBusy
) -> Start | Wait | Busy | Moved:
    """What becomes of a message that goes on from the head. `read_at`: where its past ended when it was read."""
    line = _line_of(head, replies)
    if not line:
        return Start(head) if head == read_at else Moved()
    unended = [reply for reply in line if not reply.ended]
    if rule is WhenBusy.REFUSE:
        return Busy(unended[0].task)
    if rule in ENDING:
        return Wait(line[0].line, tuple(reply.task for reply in unended), rule.value)
    return Wait(line[0].line)


def next_of(line: Sequence[Standing], *, head: int | None) -> tuple[uuid.UUID, int | None] | None:
    """The task of a line whose turn has come, and the message that it goes on from; None while one runs, or if none waits.

    `line` in the order of arrival. What was rolled back leaves the branch: who comes next goes on from where it began.
    """
    started = [reply for reply in line if reply.question is not None]
    waiting = [reply for reply in line if reply.question is None and not reply.ended and not reply.superseded]
    if not waiting or any(not reply.ended for reply in started):
        return None
    if not started:  # the one before it was withdrawn
        return waiting[0].task, head
    last = started[-1]
    return waiting[0].task, last.after if last.superseded == WhenBusy.ROLL_BACK else last.place


def follows(line: Sequence[Standing], *, head: int | None) -> bool:
    """Whether the conversation's head is where this line is, so that it goes along with it."""
    return bool(_line_of(head, line, open_only=False))


def _line_of(head: int | None, replies: Sequence[Standing], *, open_only: bool = True) -> list[Standing]:
    """The youngest line (with a task that has not ended) that stands at the head."""
    lines: dict[uuid.UUID, list[Standing]] = {}
    for reply in replies:
        lines.setdefault(reply.line, []).append(reply)
    for line in reversed(lines.values()):
        if open_only and all(reply.ended for reply in line):
            continue
        started = [reply for reply in line if reply.question is not None]
        if not started or head in (started[-1].question, started[-1].answer):
            return line
    return []
