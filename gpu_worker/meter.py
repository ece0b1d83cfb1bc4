"""What the engine's steps take, as sums that each heartbeat carries. Pure: moments are seconds of one clock of the caller's.

A step gives one token to each sequence in it. What is collected at once may be several steps, if the flush before it took
longer than one; so it has as many as the sequence that got most has tokens. It may also be the rest of a step (vLLM tells of
each request by itself): then none of its sequences has a token of that step yet, though one at least had tokens before. The
time of a round runs from the round before, or, if the worker held nothing then, from the moment at which it was given work:
time without work is no step's.
"""

from __future__ import annotations

from collections.abc import Sequence

from gpu_worker.engines import EngineOutput
from taskqueue.messages import Finish, Work


class Meter:
    """One worker's sums."""

    def __init__(self) -> None:
        self._steps = self._sequences = self._prefilled = 0
        self._steps_s = 0.0
        self._turns = self._prompt_tokens = self._answer_tokens = 0
        self._since: float | None = None
        self._in_step: set[str] = set()
        """Requests that have their token of the last step."""
        self._reading: dict[str, int] = {}
        """Requests without a token so far, and the tokens of earlier attempts that are read with their prompts."""

    def admitted(self, request_id: str, *, streamed: int, now: float) -> None:
        """A request is about to be given to the engine."""
        self._reading[request_id] = streamed
        if self._since is None:
            self._since = now

    def collected(self, outputs: Sequence[EngineOutput], *, now: float) -> None:
        """What the engine has made since the last call."""
        tokens: dict[str, int] = {}
        begun = 0
        for output in outputs:
            if output.token_ids:
                tokens[output.id] = tokens.get(output.id, 0) + len(output.token_ids)
                if (streamed := self._reading.pop(output.id, None)) is not None:
                    self._prefilled += output.prompt_tokens + streamed
                    begun += 1
            if output.ending:
                self._reading.pop(output.id, None)
        if tokens:
            rest = begun < len(tokens) and self._in_step.isdisjoint(tokens)
            self._steps += max(tokens.values()) - rest
            self._in_step = self._in_step.union(tokens) if rest else set(tokens)
            self._sequences += sum(tokens.values())
            if self._since is not None:
                self._steps_s += now - self._since
            self._since = now

    def ended(self, finishes: Sequence[Finish], *, idle: bool) -> None:
        """Turns that ended for good; `idle`: the worker holds nothing now."""
        for finish in finishes:
            # Vectors are no tokens of the answer, but took a sequence's place in a step, as one token does.
            if made := finish.usage.completion_tokens or int(bool(finish.text)):
                self._turns += 1
                self._prompt_tokens += finish.usage.prompt_tokens
                self._answer_tokens += made
        if idle:
            self._since = None

    def read(self) -> Work:
        """The sums so far."""
        return Work(
            steps=self._steps,
            steps_s=self._steps_s,
            sequences=self._sequences,
            prefilled=self._prefilled,
            turns=self._turns,
            prompt_tokens=self._prompt_tokens,
            answer_tokens=self._answer_tokens,
        )
