"""One worker in virtual time, at a speed (`orchestrator.rehearsal.speed`), in stretches of equal steps instead of step by step.

A stretch is a run of steps during which nobody joins and nobody ends, so all of them take the same time. It is cut short at the
next end of a step when a request joins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from orchestrator.rehearsal.load import Request
from orchestrator.rehearsal.speed import Speed


@dataclass(slots=True, eq=False)
class Turn:
    """A request on its way. `streamed`: tokens that its client has; a turn that is handed over goes on behind them.

    `held_s`: how long it had slots of workers that are gone, where that is what counts (`orchestrator.rehearsal.holds`).
    """

    request: Request
    number: int
    streamed: int = 0
    held_s: float = 0.0
    claimed_at: float | None = None
    first_token_at: float | None = None
    ended_at: float | None = None


@dataclass(slots=True, eq=False)
class Engine:
    """Slots, the turns in them, and the present stretch. Times in s; `next_at` is when it wants to be called again."""

    speed: Speed
    slots: int
    running: list[Turn] = field(default_factory=list)
    joining: list[Turn] = field(default_factory=list)
    tokens: int = 0
    busy_s: float = 0.0
    _from: float = 0.0
    _step_s: float = 0.0
    _steps: int = 0

    @property
    def held(self) -> int:
        """Turns that it holds."""
        return len(self.running) + len(self.joining)

    @property
    def next_at(self) -> float:
        """The end of the present stretch; infinite when it has nothing to do."""
        return self._from + self._steps * self._step_s if self._steps else math.inf

    def join(self, turn: Turn, now: float) -> None:
        """Take a turn; it is prefilled by the first step that begins from now on."""
        self.joining.append(turn)
        if not self._steps:
            self._begin(now)
        elif self._steps > 1:
            done = max(1, math.ceil((now - self._from) / self._step_s - 1e-9))
            self._steps = min(self._steps, done)

    def end_stretch(self) -> list[Turn]:
        """To be called at `next_at`: the stretch is over; the turns that ended with it."""
        now, steps = self.next_at, self._steps
        ended = []
        for turn in self.running:
            if turn.first_token_at is None:
                turn.first_token_at = self._from + self._step_s
            turn.streamed += steps
            if turn.streamed >= turn.request.output_tokens:
                turn.ended_at = now
                ended.append(turn)
        self.tokens += steps * len(self.running)
        self.busy_s += steps * self._step_s
        self.running = [turn for turn in self.running if turn.ended_at is None]
        self._begin(now)
        return ended

    def release(self, now: float) -> list[Turn]:
        """Hand all turns over: they keep the tokens of the steps that have ended."""
        if self._steps:
            done = min(self._steps, int((now - self._from) / self._step_s + 1e-9))
            for turn in self.running:
                if done and turn.first_token_at is None:
                    turn.first_token_at = self._from + self._step_s
                turn.streamed = min(turn.streamed + done, turn.request.output_tokens - 1)
            self.tokens += done * len(self.running)
            self.busy_s += done * self._step_s
        left = self.running + self.joining
        self.running, self.joining, self._steps = [], [], 0
        return left

    def _begin(self, now: float) -> None:
        """The next stretch: one step if somebody is to be prefilled, else as many as nobody ends in."""
        prefilled = sum(turn.request.prompt_tokens + turn.streamed for turn in self.joining)
        joined = bool(self.joining)
        self.running += self.joining
        self.joining = []
        self._from = now
        if not self.running:
            self._steps = 0
            return
        self._step_s = self.speed.step_s(sequences=len(self.running), prefilled=prefilled)
        self._steps = 1 if joined else min(turn.request.output_tokens - turn.streamed for turn in self.running)
