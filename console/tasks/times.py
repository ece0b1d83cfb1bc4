"""Rows of a task, its turns and its calls as the moments of which the waterfall is made."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta

from agents.announcing import ASK_HUMAN
from agents.models import Task, ToolCall, Turn
from console.tasks.waterfall import AttemptTimes, CallTimes, TaskTimes, TurnTimes, WaitsFor

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def times_of(
    task: Task,
    turns: Iterable[Turn],
    calls: Iterable[ToolCall],
    *,
    handed_over: Collection[str] = (),
    is_held: bool = False,
) -> TaskTimes:
    """`turns` and `calls` in their order; `handed_over`: ids (of rows) of the calls that became tasks of their own."""
    turns = list(turns)
    numbers = {turn.pk: turn.number for turn in turns}
    return TaskTimes(
        created_at=task.created_at,
        finished_at=task.finished_at,
        is_held=is_held,
        turns=tuple(
            TurnTimes(
                number=turn.number,
                queued_at=turn.queued_at,
                attempts=attempts_of(turn),
                first_token_at=turn.first_token_at,
                finished_at=turn.finished_at,
            )
            for turn in turns
        ),
        calls=tuple(
            CallTimes(
                turn=numbers[call.turn_id],
                number=call.number,
                name=call.name,
                waits_for=_waits_for(call, handed_over),
                created_at=call.created_at,
                started_at=call.started_at,
                finished_at=call.finished_at,
            )
            for call in calls
            if call.turn_id in numbers
        ),
    )


def attempts_of(turn: Turn) -> tuple[AttemptTimes, ...]:
    """A turn's attempts by number. Where none was given up, its row has no list of them: then the row itself tells of the one."""
    logged = sorted((int(number), told) for number, told in (turn.attempt_log or {}).items())
    known = tuple(
        AttemptTimes(
            number=number,
            worker=told.get("worker") or "",
            claimed_at=_moment(told["claimed_ms"]),
            ended_at=_moment(told["ended_ms"]) if told.get("ended_ms") else None,
            tokens=told.get("tokens") or 0,
            reason=told.get("reason") or "",
        )
        for number, told in logged
        if told.get("claimed_ms")
    )
    if known or turn.claimed_at is None:
        return known
    return (AttemptTimes(number=max(1, turn.attempts), worker=turn.worker, claimed_at=turn.claimed_at),)


def _waits_for(call: ToolCall, handed_over: Collection[str]) -> WaitsFor:
    if call.name == ASK_HUMAN:
        return "person"
    return "agent" if str(call.pk) in handed_over else "tools"


def _moment(at_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=at_ms)
