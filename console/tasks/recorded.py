"""A task's stream as it was recorded: what it said, what it called and was told, in the order in which it happened. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from agents.models import Task, ToolCall, Turn
from console.tasks.folding import Folded, folded
from console.tasks.sent import pretty
from console.tasks.times import attempts_of

TEXT_HEAD = 8_000
TEXT_MORE = 200_000

WHY = {"worker_lost": "its worker was lost", "handed_over": "its worker ended, and handed it over"}
"""Why an attempt was given up, by the queue's word for it."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened. `name` is a tool's; `is_error`: it went wrong."""

    kind: Literal["attempt", "text", "summary", "call", "result", "outcome"]
    turn: int
    text: Folded
    name: str = ""
    state: str = ""
    is_error: bool = False
    child: str = ""


def entries_of(task: Task, turns: Iterable[Turn], calls: Iterable[ToolCall]) -> list[Entry]:
    """What the rows tell; of a task that runs, up to its last turn's beginning."""
    by_turn: dict[object, list[ToolCall]] = {}
    for call in calls:
        by_turn.setdefault(call.turn_id, []).append(call)
    entries: list[Entry] = []
    turns = list(turns)
    for turn in turns:
        entries += _attempts(turn)
        is_last = turn is turns[-1]
        said = turn.output or (task.output if is_last else "")
        if said:
            kind: Literal["summary", "text"] = "summary" if turn.summarises else "text"
            entries.append(Entry(kind=kind, turn=turn.number, text=folded(said, head=TEXT_HEAD, more=TEXT_MORE)))
        for call in by_turn.get(turn.pk, ()):
            entries += _call(turn, call)
    if task.finished_at is not None:
        entries.append(_outcome(task, turns[-1].number if turns else 0))
    return entries


def _attempts(turn: Turn) -> Iterable[Entry]:
    for attempt in attempts_of(turn):
        if attempt.ended_at is not None:
            why = WHY.get(attempt.reason, "it was given up; why is not recorded")
            kept = f" Another worker went on behind {attempt.tokens:,} tokens." if attempt.tokens else ""
            words = f"Attempt {attempt.number} ended: {why}.{kept}"
            yield Entry(kind="attempt", turn=turn.number, text=Folded(words))


def _call(turn: Turn, call: ToolCall) -> Iterable[Entry]:
    child = getattr(call, "child", None)
    yield Entry(
        kind="call", turn=turn.number, name=call.name, state=call.state, text=folded(pretty(call.arguments)),
        child="" if child is None else str(child.pk),
    )  # fmt: skip
    if call.finished_at is not None:
        yield Entry(
            kind="result", turn=turn.number, name=call.name, state=call.state, text=folded(call.result),
            is_error=call.state == "failed",
        )  # fmt: skip


def _outcome(task: Task, turn: int) -> Entry:
    error = task.error or {}
    words = f"{error.get('code', '')}: {error.get('message', '')}" if error else f"Finish reason: {task.finish_reason}."
    if not error and not task.finish_reason:
        words = ""
    return Entry(kind="outcome", turn=turn, state=task.state, text=Folded(words), is_error=bool(error))
