"""A task's life as spans that leave no gap: what it waited for, and what was done, turn by turn and attempt by attempt. Pure.

Moments come from the rows that the recorder writes. `claimed` and `ended` of attempts are by Redis' clock, the first token by the
worker's, acceptance and tool calls by Postgres'. Where clocks differ, a moment that would lie before the one that it follows is
moved to it: so spans never overlap, and their sum is the task's life.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

import msgspec


class Kind(StrEnum):
    """What a span's time went to. A `call` lies beside the others, within `tools`, `person` or `agent`.

    `prefill` is from the claim to the first token; `run` is both, where nobody measured the first token.
    """

    CONVERSATION = "conversation"
    QUEUED = "queued"
    PREFILL = "prefill"
    DECODE = "decode"
    RUN = "run"
    LOST = "lost"
    TOOLS = "tools"
    PERSON = "person"
    AGENT = "agent"
    CALL = "call"


MEANING: dict[Kind, str] = {
    Kind.CONVERSATION: "waits for its conversation",
    Kind.QUEUED: "queued",
    Kind.PREFILL: "prefill",
    Kind.DECODE: "decode",
    Kind.RUN: "prefill and decode together",
    Kind.LOST: "attempt given up",
    Kind.TOOLS: "waits for tools",
    Kind.PERSON: "waits for a person",
    Kind.AGENT: "waits for another agent",
    Kind.CALL: "a tool call",
}

WaitsFor = Literal["tools", "person", "agent"]


class AttemptTimes(msgspec.Struct, frozen=True, kw_only=True):
    """One claim of a turn. `ended_at` is when it was given up; None of the last one, whose end is the turn's.

    `tokens`: as many as all attempts had streamed by its end. `reason`: `worker_lost`, `handed_over`, or empty where it was not
    written down.
    """

    number: int
    worker: str = ""
    claimed_at: datetime
    ended_at: datetime | None = None
    tokens: int = 0
    reason: str = ""


class TurnTimes(msgspec.Struct, frozen=True, kw_only=True):
    """One model call. Without `attempts` nobody has claimed it yet. `first_token_at` is None where nobody measured it: the turn
    runs, was ended by the queue, or was taken over in the middle of its answer.
    """

    number: int
    queued_at: datetime
    attempts: tuple[AttemptTimes, ...] = ()
    first_token_at: datetime | None = None
    finished_at: datetime | None = None


class CallTimes(msgspec.Struct, frozen=True, kw_only=True):
    """One tool call that a turn asked for."""

    turn: int
    number: int
    name: str
    waits_for: WaitsFor = "tools"
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None


class TaskTimes(msgspec.Struct, frozen=True, kw_only=True):
    """A task with its turns in their order. `is_held`: it never came to its place in its conversation (or has not yet)."""

    created_at: datetime
    finished_at: datetime | None = None
    is_held: bool = False
    turns: tuple[TurnTimes, ...] = ()
    calls: tuple[CallTimes, ...] = ()


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of time. `turn` is the number of the turn that it is of, or that it follows; 0: before the first.

    `is_open`: it has not ended, `end` is the moment of the look.
    """

    kind: Kind
    start: datetime
    end: datetime
    turn: int = 0
    attempt: int = 0
    worker: str = ""
    tokens: int = 0
    call: str = ""
    is_open: bool = False

    @property
    def lasts(self) -> timedelta:
        """Its length."""
        return self.end - self.start


def spans_of(task: TaskTimes, *, now: datetime) -> list[Span]:
    """The task's life, from its acceptance to its end (or to `now`), in spans of which each begins where the one before ends; then
    its calls, in their order. Spans without any length are left out, but of a turn that runs.
    """
    end = max(task.created_at, now if task.finished_at is None else task.finished_at)
    is_open = task.finished_at is None
    life = _Life(task.created_at, end, is_open=is_open)
    if task.is_held:
        life.go(Kind.CONVERSATION, turn=0)
        return life.spans
    for turn in task.turns:
        if turn.queued_at > life.at:
            life.go(_between(task, turn.number - 1), until=turn.queued_at, turn=turn.number - 1)
        _turn(life, turn)
    last = task.turns[-1] if task.turns else None
    if life.at < end:
        has_ended = last is not None and last.finished_at is not None
        life.go(_between(task, last.number) if has_ended and last else Kind.QUEUED, turn=last.number if last else 0)
    return [*life.spans, *_calls(task, end=end)]


def totals(spans: Iterable[Span]) -> dict[Kind, timedelta]:
    """How much of a task's life went to what; calls lie beside, and are left out."""
    sums: dict[Kind, timedelta] = {}
    for span in spans:
        if span.kind is not Kind.CALL:
            sums[span.kind] = sums.get(span.kind, timedelta()) + span.lasts
    return sums


class _Life:
    """The spans so far, and the moment at which the next one begins."""

    def __init__(self, start: datetime, end: datetime, *, is_open: bool) -> None:
        self.at, self.end, self._is_open = start, end, is_open
        self.spans: list[Span] = []

    def go(self, kind: Kind, *, until: datetime | None = None, turn: int, attempt: AttemptTimes | None = None) -> None:
        """Go on to `until`; None: to the end of what is known."""
        to = self.end if until is None else min(max(until, self.at), self.end)
        stays_open = until is None and self._is_open
        if to > self.at or stays_open:
            of = attempt or AttemptTimes(number=0, claimed_at=self.at)
            self.spans.append(
                Span(
                    kind=kind, start=self.at, end=to, turn=turn, attempt=of.number, worker=of.worker, tokens=of.tokens,
                    is_open=stays_open,
                )
            )  # fmt: skip
        self.at = to


def _turn(life: _Life, turn: TurnTimes) -> None:
    for attempt in turn.attempts:
        life.go(Kind.QUEUED, until=attempt.claimed_at, turn=turn.number)
        if attempt.ended_at is not None:
            life.go(Kind.LOST, until=attempt.ended_at, turn=turn.number, attempt=attempt)
        elif turn.first_token_at is not None:
            life.go(Kind.PREFILL, until=turn.first_token_at, turn=turn.number, attempt=attempt)
            life.go(Kind.DECODE, until=turn.finished_at, turn=turn.number, attempt=attempt)
        else:
            life.go(Kind.RUN, until=turn.finished_at, turn=turn.number, attempt=attempt)
    if not turn.attempts or turn.attempts[-1].ended_at is not None:
        life.go(Kind.QUEUED, until=turn.finished_at, turn=turn.number)


def _between(task: TaskTimes, turn: int) -> Kind:
    """What the time behind that turn goes to: to the call that is over last."""
    if turn == 0:
        return Kind.CONVERSATION
    calls = [call for call in task.calls if call.turn == turn]
    if not calls:
        return Kind.QUEUED
    still = [call for call in calls if call.finished_at is None]
    last = still[0] if still else max(calls, key=lambda call: call.finished_at or call.created_at)
    return Kind(last.waits_for)


def _calls(task: TaskTimes, *, end: datetime) -> Iterator[Span]:
    for call in sorted(task.calls, key=lambda call: (call.turn, call.number)):
        start = min(call.started_at or call.created_at, end)
        over = end if call.finished_at is None else call.finished_at
        yield Span(
            kind=Kind.CALL, start=start, end=max(start, min(over, end)), turn=call.turn, call=call.name,
            is_open=call.finished_at is None,
        )  # fmt: skip
