"""Turns that embed texts, on any model of transformers: each step is one pass over texts of like length, of all turns together.

The model runs in a thread of its own; everything else is the event loop's. A turn gives its whole answer at once, with one token id
(`taskqueue.vectors.WHOLE`), when the last of its texts is done: an attempt before that has shown nothing, and the next simply
runs it again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from gpu_worker.engines import Ending, EngineOutput, EngineRequest, Phases
from gpu_worker.engines.embedding_model import EmbeddingArgs, EmbeddingModel, Read, load
from gpu_worker.engines.length_batches import LengthBatches, Text
from gpu_worker.engines.outbox import Outbox
from gpu_worker.engines.prompting import PromptRefused
from gpu_worker.failures import BadSetting, EngineCannotStart, EngineDied, sentence
from gpu_worker.phases import StartPhases
from gpu_worker.settings import Settings, read_engine_args
from gpu_worker.tool_formats.chosen import chosen
from taskqueue.messages import TaskError
from taskqueue.vectors import WHOLE, encoded

log = logging.getLogger(__name__)
T = TypeVar("T")

FAILURES_UNTIL_DEATH = 3
"""So many passes failing in a row mean that the engine, not a text, is broken."""

NOT_GENERATING = TaskError(
    "wrong_kind_of_model", "This model embeds texts and generates none; send them to POST /v1/embeddings."
)


@dataclass(slots=True)
class _Turn:
    read: Read
    vectors: dict[int, list[float]] = field(default_factory=dict)


class EmbeddingEngine:
    """One model; the single task of the scheduler asks its thread."""

    def __init__(self, settings: Settings) -> None:
        if not settings.model:
            raise BadSetting("OPSITE_MODEL is not set: give a folder or a Hugging Face id")
        self._name = settings.model
        self._args = read_engine_args(settings.engine_args, EmbeddingArgs)
        self.tool_format = chosen(settings.tool_format)
        self._outbox = Outbox()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedding")
        self._joining: dict[str, EngineRequest] = {}
        self._turns: dict[str, _Turn] = {}
        self._batches = LengthBatches(tokens=self._args.batch_tokens)
        self._work = asyncio.Event()
        self._scheduler: asyncio.Task[None] | None = None

    async def start(self, phases: Phases | None = None) -> None:
        try:
            model = await self._in_thread(lambda: load(self._name, self._args, phases or StartPhases()))
        except Exception as error:
            raise EngineCannotStart(f"model {self._name!r} does not load: {sentence(error)}") from error
        self._scheduler = asyncio.create_task(self._schedule(model), name="embedding engine")
        self._scheduler.add_done_callback(self._ended)

    def submit(self, requests: Sequence[EngineRequest]) -> None:
        self._joining.update((request.id, request) for request in requests)
        self._work.set()

    def abort(self, ids: Sequence[str]) -> None:
        gone = [id_ for id_ in ids if self._joining.pop(id_, None) or self._turns.pop(id_, None)]
        for id_ in gone:
            self._batches.remove(id_)
        self._outbox.put([EngineOutput(id=id_, ending="aborted") for id_ in gone])

    async def collect(self) -> list[EngineOutput]:
        return await self._outbox.collect()

    async def close(self) -> None:
        if self._scheduler:
            self._scheduler.cancel()
            await asyncio.gather(self._scheduler, return_exceptions=True)
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _ended(self, scheduler: asyncio.Task[None]) -> None:
        error = None if scheduler.cancelled() else scheduler.exception()
        self._outbox.die(str(error) if error else "the embedding engine's scheduler ended")

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    # -- steps ---------------------------------------------------------------------------------
    async def _schedule(self, model: EmbeddingModel) -> None:
        failures = 0
        while True:
            if not self._joining and not self._batches:
                self._work.clear()
                await self._work.wait()
            await self._join(model)
            batch = self._batches.take()
            if not batch:
                continue
            ids = [self._turns[text.turn].read.ids[text.place] for text in batch]
            try:
                vectors = await self._in_thread(lambda ids=ids: model.vectors(ids))  # type: ignore[misc]
            except Exception as error:
                failures += 1
                self._break(batch, error)
                if failures >= FAILURES_UNTIL_DEATH:
                    raise EngineDied(f"{failures} passes failed in a row: {sentence(error)}") from error
            else:
                failures = 0
                self._grow(batch, vectors)

    async def _join(self, model: EmbeddingModel) -> None:
        """Read the texts of what came in since the last step."""
        for request in list(self._joining.values()):
            try:
                read = await self._in_thread(lambda request=request: _read(model, request))  # type: ignore[misc]
            except Exception as error:
                reason = error.error if isinstance(error, PromptRefused) else TaskError("engine_error", sentence(error))
                if self._joining.pop(request.id, None):
                    self._outbox.put([EngineOutput(id=request.id, ending="failed", error=reason)])
                continue
            if self._joining.pop(request.id, None) is None:
                continue  # aborted meanwhile
            if request.streamed:  # the answer is out already; its end is not
                ending: Ending = "length" if read.cut else "stop"
                self._outbox.put([EngineOutput(id=request.id, prompt_tokens=read.tokens, ending=ending)])
                continue
            self._turns[request.id] = _Turn(read)
            self._batches.add(request.id, [len(one) for one in read.ids])

    def _grow(self, batch: Sequence[Text], vectors: Sequence[list[float]]) -> None:
        done = []
        for text, vector in zip(batch, vectors, strict=True):
            if (turn := self._turns.get(text.turn)) is None:
                continue
            turn.vectors[text.place] = vector
            if len(turn.vectors) == len(turn.read.ids):
                del self._turns[text.turn]
                answer = encoded(turn.vectors[index] for index in range(len(turn.vectors)))
                done.append(
                    EngineOutput(
                        id=text.turn,
                        token_ids=(WHOLE,),
                        text=answer,
                        prompt_tokens=turn.read.tokens,
                        ending="length" if turn.read.cut else "stop",
                    )
                )
        self._outbox.put(done)

    def _break(self, batch: Sequence[Text], error: Exception) -> None:
        log.error("a forward pass over %d texts failed: %s", len(batch), sentence(error))
        log.debug("traceback", exc_info=error)
        reason = TaskError("engine_error", sentence(error))
        for id_ in {text.turn for text in batch}:
            self._batches.remove(id_)
            if (turn := self._turns.pop(id_, None)) is not None:
                output = EngineOutput(id=id_, prompt_tokens=turn.read.tokens, ending="failed", error=reason)
                self._outbox.put([output])


def _read(model: EmbeddingModel, request: EngineRequest) -> Read:
    if not request.body.embed:
        raise PromptRefused(NOT_GENERATING)
    return model.read(request.body.embed, truncate=request.body.truncate)
