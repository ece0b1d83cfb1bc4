"""A call's choices as one stream of chunks, in the order in which their text comes.

A text event's data is a JSON string literal already, so a chunk is the call's prefix, that literal, and a suffix.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Protocol

import msgspec

from agents.faces import leaving
from agents.faces.context import Context
from agents.faces.openai.choices import give_up, heard
from agents.faces.openai.errors import error_body
from agents.faces.openai.following import followed
from agents.faces.openai.logprobs import Logprobs
from agents.faces.openai.outcome import Outcome, Turns, has_answer, problem_of, usage
from agents.faces.submitted import Submitted
from agents.problems import Problem, stream_lost
from taskqueue.messages import Event

KEEP_ALIVE_S = 15.0


class Form(Protocol):
    """How an endpoint writes one choice in a chunk, as JSON text. `literal` is a JSON string."""

    def begin(self, index: int) -> str:
        """Before any text; empty where nothing is said."""

    def text(self, index: int, literal: str, logprobs: str) -> str:
        """Some more text; `logprobs` as `Logprobs.read` gives them."""

    def end(self, index: int, outcome: Outcome, logprobs: str) -> list[str]:
        """Behind all text, in one or more chunks; `logprobs` of tokens that brought none."""


def left_by_client(choices: Sequence[Submitted]) -> None:
    """The reader has gone."""
    for one in choices:
        followed(one).abandon()


class _Call:
    """What a call's stream has said."""

    def __init__(self, choices: Sequence[Submitted], head: Mapping[str, Any], form: Form) -> None:
        self._prefix = f'data: {msgspec.json.encode(head).decode()[:-1]},"choices":['
        self._form, self._count = form, len(choices)
        self._outcomes: list[Outcome] = []
        self._logprobs = [Logprobs() for _ in choices]
        self._turns = [Turns() for _ in choices]

    @property
    def complete(self) -> bool:
        return len(self._outcomes) == self._count

    def begin(self) -> str:
        choices = [self._form.begin(index) for index in range(self._count)]
        return "".join(self._chunk(choice) for choice in choices if choice)

    def take(self, index: int, events: Sequence[Event]) -> tuple[str, Problem | None]:
        """The chunks of a choice's new events, and why the call has failed if it has."""
        logprobs, said = self._logprobs[index], ""
        for event in events:
            if event.kind == "logprobs":
                logprobs.take(event.data)
            elif event.kind in ("tool_calls", "summary"):
                self._turns[index].take_calls(event.data)
            elif event.kind == "text" and event.data != '""':
                said += self._chunk(self._form.text(index, event.data, logprobs.release()))
        if not events or events[-1].kind != "outcome":
            return said, None
        outcome = self._turns[index].outcome(events[-1].data)
        if not has_answer(outcome):
            return said, problem_of(outcome)
        self._outcomes.append(outcome)
        return said + "".join(map(self._chunk, self._form.end(index, outcome, logprobs.release()))), None

    def end(self, *, include_usage: bool) -> str:
        counted = msgspec.json.encode(usage(*self._outcomes)).decode()
        return (f'{self._prefix}],"usage":{counted}}}\n\n' if include_usage else "") + "data: [DONE]\n\n"

    def _chunk(self, choice: str) -> str:
        return f"{self._prefix}{choice}]}}\n\n"


async def chunks(
    context: Context, choices: Sequence[Submitted], head: Mapping[str, Any], form: Form, *, include_usage: bool
) -> AsyncIterator[bytes]:
    """The chunks as they come, to `[DONE]`. `head` are the members that all chunks have."""
    call = _Call(choices, head, form)
    try:
        if begun := call.begin():
            yield begun.encode()
        async with aclosing(heard(choices, timeout_s=KEEP_ALIVE_S)) as hearing:
            async for index, events in hearing:
                if followed(choices[index]).lost or any(event.kind == "restart" for event in events):
                    # This form of a stream has no word for "forget what you have read": the client must ask again.
                    yield _broken(stream_lost())
                    return
                said, failure = call.take(index, events)
                if failure is not None:
                    yield said.encode() + _broken(failure)
                    await give_up(context, choices)
                    return
                if said or not events:
                    yield said.encode() or b": keep-alive\n\n"
        if call.complete:
            yield call.end(include_usage=include_usage).encode()
    finally:
        try:
            if any(followed(one).abandoned for one in choices):
                await leaving.end(context, choices)
        finally:
            for one in choices:
                await followed(one).close()


def _broken(problem: Problem) -> bytes:
    return b"data: " + msgspec.json.encode(error_body(problem)) + b"\n\ndata: [DONE]\n\n"
