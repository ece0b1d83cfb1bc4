"""A response told event by event, in OpenAI's words. Pure.

What is told, and under which number, follows from the task's log alone. So any process that reads the log from its start tells the
same, and a reader who names the last number that it has seen goes on behind it, without gap or repeat, wherever it asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from agents.faces.openai.gathering import Gathering
from agents.faces.openai.outcome import Outcome, has_answer
from agents.faces.openai.response_form import (
    Asked,
    Progress,
    answered,
    function_call,
    has_message,
    message,
    message_id,
    shown,
    status,
    text_part,
)
from agents.problems import Problem, stream_lost
from taskqueue.messages import Event, ToolCall

_TERMINAL = {"completed": "response.completed", "incomplete": "response.incomplete"}
"""The API has no event of its own for a response that was cancelled: that is `response.failed`, whose status says it."""


class Telling:
    """Server-sent events of one response, of which a reader has those up to the number `after` (-1: none)."""

    def __init__(self, asked: Asked, *, after: int = -1) -> None:
        self._asked, self._after, self._next = asked, after, 0
        self._gathering = Gathering()
        self._started = self._opened = False
        self._delta = f'"item_id":"{message_id(asked.task)}","output_index":0,"content_index":0,"logprobs":[],"delta":'

    def begin(self) -> bytes:
        """Before anything of the log."""
        return self._response("response.created", Progress(running=not self._asked.background))

    def take(self, events: Iterable[Event]) -> bytes:
        """What the next events of the log tell."""
        return b"".join(self._take(event) for event in events)

    def take_kept(self, events: Iterable[Event]) -> bytes:
        """The same of a task whose log has left Redis, so that the numbers of its deltas are not known any more.

        A reader who has some of them is told the end, which holds the whole text, under the numbers behind his.
        """
        if self._after < 0:
            return self.take(events)
        *before, outcome = events
        after, self._after = self._after, 2**63
        self.take(before)
        if not msgspec.json.decode(outcome.data, type=Outcome).tool_calls:
            self._open()
        self._next, self._after = after + 1, after
        return self._take(outcome)

    def broken(self, problem: Problem) -> bytes:
        """The stream ends, the response does not: it can be retrieved, or followed anew from its start."""
        error = {"code": problem.code, "message": problem.detail, "param": None}
        return self._event("error", error)

    def _take(self, event: Event) -> bytes:
        if event.kind == "restart" and (self._next > 1 or self._after > 0):
            raise stream_lost()
        self._gathering.take(event)
        if event.kind == "text":
            return self._open() + self._text(event.data) if event.data != '""' else b""
        if event.kind == "outcome":
            return self._end()
        if event.kind == "state":
            return self._start() if self._gathering.gathered().running else self._queued(event)
        return b""

    def _queued(self, event: Event) -> bytes:
        if self._next != 1 or not self._asked.background:
            return b""
        return self._response("response.queued", Progress())

    def _start(self) -> bytes:
        if self._started:
            return b""
        self._started = True
        return self._response("response.in_progress", Progress(running=True))

    def _open(self) -> bytes:
        if self._opened:
            return b""
        told = self._start()
        self._opened = True
        item = {"output_index": 0, "item": message(self._asked.task, None, "in_progress")}
        part = {**self._place(), "part": text_part("")}
        return told + self._event("response.output_item.added", item) + self._event("response.content_part.added", part)

    def _text(self, literal: str) -> bytes:
        number, self._next = self._next, self._next + 1
        if number <= self._after:
            return b""
        kind = "response.output_text.delta"
        return (
            f'event: {kind}\ndata: {{"type":"{kind}","sequence_number":{number},{self._delta}{literal}}}\n\n'.encode()
        )

    def _end(self) -> bytes:
        text, outcome, *_ = self._gathering.gathered()
        progress = Progress(running=True, outcome=outcome, text=text)
        kind, told = _TERMINAL.get(status(progress), "response.failed"), b""
        if outcome is not None and has_answer(outcome):
            told = self._start()
            if self._opened or has_message(outcome, text):
                told += self._message(text, answered(outcome))
            for number, call in enumerate(outcome.tool_calls, start=int(self._opened)):
                told += self._call(number, call)
        return told + self._response(kind, progress)

    def _message(self, text: str, state: str) -> bytes:
        item = message(self._asked.task, text, state)
        return (
            self._open()
            + self._event("response.output_text.done", {**self._place(), "text": text, "logprobs": []})
            + self._event("response.content_part.done", {**self._place(), "part": text_part(text)})
            + self._event("response.output_item.done", {"output_index": 0, "item": item})
        )

    def _call(self, number: int, call: ToolCall) -> bytes:
        """A call is told as a whole: the log has it once it is complete."""
        begun, item = function_call(call, arguments="", state="in_progress"), function_call(call)
        place = {"item_id": item["id"], "output_index": number}
        kind = "response.function_call_arguments"
        return (
            self._event("response.output_item.added", {"output_index": number, "item": begun})
            + self._event(f"{kind}.delta", {**place, "delta": call.arguments})
            + self._event(f"{kind}.done", {**place, "name": call.name, "arguments": call.arguments})
            + self._event("response.output_item.done", {"output_index": number, "item": item})
        )

    def _place(self) -> dict[str, Any]:
        return {"item_id": message_id(self._asked.task), "output_index": 0, "content_index": 0}

    def _response(self, kind: str, progress: Progress) -> bytes:
        return self._event(kind, {"response": shown(self._asked, progress)})

    def _event(self, kind: str, members: dict[str, Any]) -> bytes:
        number, self._next = self._next, self._next + 1
        if number <= self._after:
            return b""
        body = msgspec.json.encode({"type": kind, "sequence_number": number, **members})
        return b"event: " + kind.encode() + b"\ndata: " + body + b"\n\n"
