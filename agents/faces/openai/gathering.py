"""A task's events gathered to its text and its outcome."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from agents.faces.openai.following import followed, kept
from agents.faces.openai.logprobs import Logprobs
from agents.faces.openai.outcome import Outcome, Turns
from agents.faces.submitted import Submitted
from taskqueue.messages import Event


class Gathered(NamedTuple):
    """All that a log says. `outcome` is None as long as there is none; `running`: a worker has begun it."""

    text: str
    outcome: Outcome | None
    running: bool = False
    logprobs: str = "null"
    """A choice's, as JSON text."""


class Gathering:
    """Takes events in their order."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._outcome: Outcome | None = None
        self._running = False
        self._logprobs, self._turns = Logprobs(), Turns()

    def take(self, event: Event) -> None:
        """One more event."""
        if event.kind in ("restart", "tool_calls", "summary"):  # the answer is what the last turn says
            self._pieces.clear()
            self._logprobs.release()
            if event.kind != "restart":
                self._turns.take_calls(event.data)
        elif event.kind == "logprobs":
            self._logprobs.take(event.data)
        elif event.kind == "text":
            self._pieces.append(msgspec.json.decode(event.data, type=str))
        elif event.kind == "outcome":
            self._outcome = self._turns.outcome(event.data)
        elif event.kind == "state":
            self._running = msgspec.json.decode(event.data, type=Outcome).state == "running"

    def gathered(self) -> Gathered:
        """What they come to so far."""
        return Gathered("".join(self._pieces), self._outcome, self._running, self._logprobs.read())


async def gathered(submitted: Submitted) -> Gathered:
    """Follow a task to its outcome. There is none if Redis has lost its log, or the reader has gone meanwhile."""
    gathering = Gathering()
    stream = followed(submitted)
    try:
        for event in kept(submitted):
            gathering.take(event)
        if gathering.gathered().outcome is None:
            async for event in stream:
                gathering.take(event)
    finally:
        await stream.close()
    return gathering.gathered()
