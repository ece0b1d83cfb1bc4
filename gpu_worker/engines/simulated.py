"""A declared stand-in for a GPU engine: no model, a stated speed model, and text that can be checked exactly.

It serves load tests and the simulator. A step that decodes B sequences and prefills P prompt tokens takes

    step_base_s + step_per_sequence_s * B + P / prefill_tokens_per_s   seconds

and gives each sequence one token. A request joins at the next step; its first token comes with the step that
prefills it.
Steps have absolute deadlines, so that timing does not drift with the length of a run; a machine too slow for them falls
behind by at most `CATCH_UP_S`, and then simply is slower.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from gpu_worker.detokenize import StopStrings
from gpu_worker.engines import EngineOutput, EngineRequest, Phases
from gpu_worker.engines.fitting import fitted
from gpu_worker.engines.outbox import Outbox
from gpu_worker.engines.prompting import PromptRefused, too_long
from gpu_worker.engines.simulated_json import CannotImitate, pieces_of
from gpu_worker.engines.simulated_text import (
    answer_length,
    key_of,
    prompt_text,
    prompt_tokens,
    text_of,
    token_at,
    vector_of,
)
from gpu_worker.phases import StartPhases
from gpu_worker.settings import Settings, read_engine_args
from gpu_worker.tool_formats.chosen import chosen
from taskqueue.messages import ContextUse, TaskError, TurnBody
from taskqueue.vectors import encoded

CATCH_UP_S = 1.0

Seconds = Annotated[float, Meta(ge=0)]


class SimulatedArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The speed model, given as OPSITE_ENGINE_ARGS. Defaults are round numbers, not measurements of any GPU.

    `answer_tokens`: the answer ends by itself after so many tokens (null: it always fills `max_tokens`).
    `context_tokens`: prompts longer than this are refused, budgets clamped (null: no limit).
    `embedding_dimensions`: the length of the vectors that it gives for texts to embed.
    Two faults that a request can have: a prompt with `killing_words` in it ends the whole process without a word (as the kernel
    does when memory is out), one with `breaking_words` ends the engine (as an error on the GPU does).
    """

    startup_s: Seconds = 0.0
    prefill_tokens_per_s: Annotated[float, Meta(gt=0)] = 20_000.0
    step_base_s: Seconds = 0.02
    step_per_sequence_s: Seconds = 0.0
    answer_tokens: Annotated[int, Meta(ge=1)] | None = None
    context_tokens: Annotated[int, Meta(ge=2)] | None = None
    embedding_dimensions: Annotated[int, Meta(ge=1, le=16_000)] = 64
    killing_words: Annotated[str, Meta(min_length=1)] | None = None
    breaking_words: Annotated[str, Meta(min_length=1)] | None = None


def step_s(args: SimulatedArgs, *, sequences: int, prefilled: int) -> float:
    """How long a step takes that decodes `sequences` and prefills `prefilled` tokens."""
    return args.step_base_s + args.step_per_sequence_s * sequences + prefilled / args.prefill_tokens_per_s


@dataclass(slots=True)
class _Sequence:
    id: str
    key: int
    prompt_tokens: int
    prefill: int
    position: int
    length: int
    reason: Literal["stop", "length"]
    stops: StopStrings | None
    pieces: tuple[str, ...]
    """The text of the tokens where the answer must have a form; its ids then only count."""
    use: ContextUse | None = None


class SimulatedEngine:
    """One simulated GPU; its single task is the scheduler."""

    ARGS: ClassVar[type[SimulatedArgs]] = SimulatedArgs

    def __init__(self, settings: Settings) -> None:
        self._args = read_engine_args(settings.engine_args, self.ARGS)
        self.tool_format = chosen(settings.tool_format)
        self._outbox = Outbox()
        self._sequences: dict[str, _Sequence] = {}
        self._work = asyncio.Event()
        self._scheduler: asyncio.Task[None] | None = None

    async def start(self, phases: Phases | None = None) -> None:
        (phases or StartPhases()).enter("load")
        await asyncio.sleep(self._args.startup_s)
        self._scheduler = asyncio.create_task(self._schedule(), name="simulated engine")
        self._scheduler.add_done_callback(lambda _: self._outbox.die("the simulated engine's scheduler ended"))

    def submit(self, requests: Sequence[EngineRequest]) -> None:
        for request in requests:
            sequence = self._sequence(request)
            if isinstance(sequence, EngineOutput):
                self._outbox.put([sequence])
            else:
                self._sequences[request.id] = sequence
                if use := sequence.use:
                    self._outbox.put([EngineOutput(id=request.id, prompt_tokens=sequence.prompt_tokens, context=use)])
        if self._sequences:
            self._work.set()

    def abort(self, ids: Sequence[str]) -> None:
        gone = [request_id for request_id in ids if self._sequences.pop(request_id, None)]
        self._outbox.put([EngineOutput(id=request_id, ending="aborted") for request_id in gone])

    async def collect(self) -> list[EngineOutput]:
        return await self._outbox.collect()

    async def close(self) -> None:
        if self._scheduler:
            self._scheduler.cancel()
            await asyncio.gather(self._scheduler, return_exceptions=True)

    async def _schedule(self) -> None:
        due = 0.0
        while True:
            if not self._sequences:
                self._work.clear()
                await self._work.wait()
                due = 0.0
            batch = list(self._sequences.values())
            now = time.monotonic()
            due = max(due or now, now - CATCH_UP_S)
            due += step_s(self._args, sequences=len(batch), prefilled=sum(one.prefill for one in batch))
            await asyncio.sleep(max(0.0, due - now))
            self._outbox.put([self._advance(one) for one in batch if one.id in self._sequences])

    def _advance(self, one: _Sequence) -> EngineOutput:
        token_id = one.position if one.pieces else token_at(one.key, one.position)
        text = one.pieces[one.position] if one.pieces else text_of((token_id,))
        one.position += 1
        one.prefill = 0
        ending = one.reason if one.position >= one.length else None
        if one.stops:
            text, stopped = one.stops.push(text)
            if stopped:
                ending = "stop"
            elif ending:
                text += one.stops.flush()
        if ending:
            del self._sequences[one.id]
        return EngineOutput(id=one.id, token_ids=(token_id,), text=text, prompt_tokens=one.prompt_tokens, ending=ending)

    def _suffer(self, prompt: str) -> None:
        if self._args.killing_words and self._args.killing_words in prompt:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._args.breaking_words and self._args.breaking_words in prompt:
            self._outbox.die("a request broke the simulated engine")

    def _sequence(self, request: EngineRequest) -> _Sequence | EngineOutput:
        self._suffer(prompt_text(request.body))
        if request.body.embed:
            return self._embedding(request)
        try:
            found = fitted(request.body, count=_count, context=self._args.context_tokens)
            body, prompt_length = found.body, found.prompt_tokens
            pieces = self._pieces(request.body)
        except PromptRefused as refusal:
            return EngineOutput(id=request.id, ending="failed", error=refusal.error, context=refusal.use)
        except CannotImitate as refusal:
            error = TaskError("unsupported_output", f"The simulated engine makes no answer of this form: {refusal}")
            return EngineOutput(id=request.id, prompt_tokens=_count(request.body), ending="failed", error=error)
        length, reason = answer_length(body, self._args.answer_tokens)
        if pieces:
            length, reason = len(pieces), "stop"
        if length > found.max_tokens:
            length, reason = found.max_tokens, "length"
        stops = StopStrings(request.body.params.stop) if request.body.params.stop else None
        stopped = False
        if stops:
            said = pieces[: len(request.streamed)] or [text_of((token_id,)) for token_id in request.streamed]
            stopped = any(stops.push(piece)[1] for piece in said)
        if stopped or len(request.streamed) >= length:
            ending: Literal["stop", "length"] = "stop" if stopped else reason
            return EngineOutput(id=request.id, prompt_tokens=prompt_length, context=found.use, ending=ending)
        return _Sequence(
            id=request.id,
            key=key_of(prompt_text(body)),
            prompt_tokens=prompt_length,
            prefill=prompt_length + len(request.streamed),
            position=len(request.streamed),
            length=length,
            reason=reason,
            stops=stops,
            pieces=pieces,
            use=found.use,
        )

    def _pieces(self, body: TurnBody) -> tuple[str, ...]:
        """The tokens of an answer that is not made up of words, as text; none: it is. Raises `CannotImitate`."""
        return pieces_of(body.output) if body.output else ()

    def _embedding(self, request: EngineRequest) -> _Sequence | EngineOutput:
        """A sequence of one token, which brings the whole answer."""
        context, cut = self._args.context_tokens, False
        lengths = [prompt_tokens(text) for text in request.body.embed]
        texts = list(request.body.embed)
        if context and max(lengths) > context:
            if not request.body.truncate:
                return EngineOutput(id=request.id, ending="failed", error=too_long(max(lengths), context))
            texts = [" ".join(text.split()[:context]) for text in texts]
            lengths, cut = [min(length, context) for length in lengths], True
        reason: Literal["stop", "length"] = "length" if cut else "stop"
        if request.streamed:
            return EngineOutput(id=request.id, prompt_tokens=sum(lengths), ending=reason)
        return _Sequence(
            id=request.id,
            key=0,
            prompt_tokens=sum(lengths),
            prefill=sum(lengths),
            position=0,
            length=1,
            reason=reason,
            stops=None,
            pieces=(encoded(vector_of(text, self._args.embedding_dimensions) for text in texts),),
        )


def _count(body: TurnBody) -> int:
    """The tokens of a prompt: its words."""
    return prompt_tokens(prompt_text(body))
