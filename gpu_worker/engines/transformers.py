"""Any full-attention causal language model of transformers, continuously batched, on the CPU or one GPU.

The model runs in a thread of its own, which hands its output to the event loop once per step. Dependable and portable
rather than fast: on a GPU the `vllm` engine serves many times more.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

# Threads that spin while they wait take the cores from every other process of the machine, and from each other: with
# two threads beside one other busy process on two cores a small model decoded 23 tokens/s, and 200 once they slept.
# The OpenMP runtime reads this when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
import transformers

from gpu_worker.detokenize import Answer
from gpu_worker.engines import EngineOutput, EngineRequest, Phases
from gpu_worker.engines.continuous_batch import Chosen, ContinuousBatch, Running
from gpu_worker.engines.fitting import fitted_prompt
from gpu_worker.engines.guide import Guide, GuideFailed, Guides
from gpu_worker.engines.guided_calls import guided_calls
from gpu_worker.engines.kv_rows import RowCache
from gpu_worker.engines.outbox import Outbox
from gpu_worker.engines.prompting import PromptRefused, decoder, end_ids
from gpu_worker.engines.sampling import Sampler
from gpu_worker.engines.token_text import special_id, tokens_of, told
from gpu_worker.failures import BadSetting, EngineCannotStart, sentence
from gpu_worker.phases import StartPhases
from gpu_worker.settings import Settings, read_engine_args
from gpu_worker.tool_formats.chosen import chosen
from gpu_worker.tool_formats.form import ToolFormat
from gpu_worker.tool_formats.hermes import HERMES
from taskqueue.grammar import grammar_of
from taskqueue.messages import SamplingParams, TaskError, TokenLogprob

log = logging.getLogger(__name__)

FAILURES_UNTIL_DEATH = 3
"""So many forward passes failing in a row mean that the engine, not a request, is broken."""

SMALL_MODEL = 50_000_000
"""Parameters below which a step on the CPU is so short that sharing it between threads costs more than it brings."""


class TransformersArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What OPSITE_ENGINE_ARGS may set. `context` is the longest prompt plus answer, and so bounds the cache's memory.

    `threads` on the CPU is 1 for a small model, whose steps are too short to share, and all cores for others.
    """

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    threads: Annotated[int, Meta(ge=1)] | None = None
    context: Annotated[int, Meta(ge=2)] = 4096
    prefill_tokens: Annotated[int, Meta(ge=1)] = 512


class _Loaded(msgspec.Struct, frozen=True):
    tokenizer: Any
    batch: ContinuousBatch
    context: int
    end_ids: frozenset[int]
    guides: Guides | TaskError
    """Or why this model cannot be guided."""
    calls: ToolFormat


class _Growing(msgspec.Struct, frozen=True):
    answer: Answer
    prompt_tokens: int
    guide: Guide | None


class TransformersEngine:
    """One model; the thread's orders come through a queue."""

    def __init__(self, settings: Settings) -> None:
        if not settings.model:
            raise BadSetting("OPSITE_MODEL is not set: give a folder or a Hugging Face id")
        self._model = settings.model
        self._slots = settings.slots
        self._args = read_engine_args(settings.engine_args, TransformersArgs)
        self._tool_format = settings.tool_format
        self._calls = HERMES
        self._outbox = Outbox()
        self._orders: queue.SimpleQueue[list[EngineRequest] | list[str] | None] = queue.SimpleQueue()
        self._growing: dict[str, _Growing] = {}
        self._thread: threading.Thread | None = None

    @property
    def tool_format(self) -> ToolFormat:
        return self._calls

    async def start(self, phases: Phases | None = None) -> None:
        loop = asyncio.get_running_loop()
        loaded: asyncio.Future[None] = loop.create_future()

        def run() -> None:
            try:
                engine = load(
                    self._model, self._args, self._slots, phases or StartPhases(), tool_format=self._tool_format
                )
                self._calls = engine.calls
            except Exception as error:
                reason = EngineCannotStart(f"model {self._model!r} does not load: {sentence(error)}")
                reason.__cause__ = error
                _tell(loop, lambda: None if loaded.done() else loaded.set_exception(reason))
                return
            _tell(loop, lambda: None if loaded.done() else loaded.set_result(None))
            try:
                self._run(engine, loop)
            except Exception as error:
                log.debug("traceback", exc_info=error)
                _tell(loop, self._outbox.die, f"the engine's thread ended: {sentence(error)}")

        self._thread = threading.Thread(target=run, name="transformers", daemon=True)
        self._thread.start()
        await loaded

    def submit(self, requests: Sequence[EngineRequest]) -> None:
        self._orders.put(list(requests))

    def abort(self, ids: Sequence[str]) -> None:
        self._orders.put(list(ids))

    async def collect(self) -> list[EngineOutput]:
        return await self._outbox.collect()

    async def close(self) -> None:
        self._orders.put(None)

    # -- in the engine's thread ----------------------------------------------------------------
    def _run(self, engine: _Loaded, loop: asyncio.AbstractEventLoop) -> None:
        failures = 0
        while True:
            outputs: list[EngineOutput] = []
            while (len(engine.batch) == 0 and not outputs) or not self._orders.empty():
                orders = self._orders.get()
                if orders is None:
                    return
                outputs += [output for order in orders for output in self._obey(engine, order)]
            if len(engine.batch):
                step = engine.batch.step()
                outputs += [self._grown(engine, one) for one in step.chosen]
                outputs += [self._broken(request_id, error) for request_id, error in step.failed.items()]
                broken = any(not isinstance(error, GuideFailed) for error in step.failed.values())
                failures = failures + 1 if broken and not step.chosen else 0
            if outputs:
                _tell(loop, self._outbox.put, outputs)
            if failures >= FAILURES_UNTIL_DEATH:
                _tell(loop, self._outbox.die, f"{failures} steps failed in a row: {outputs[-1].error}")
                return

    def _obey(self, engine: _Loaded, order: EngineRequest | str) -> list[EngineOutput]:
        if isinstance(order, str):
            engine.batch.remove(order)
            return [EngineOutput(id=order, ending="aborted")] if self._growing.pop(order, None) else []
        try:
            return self._join(engine, order)
        except PromptRefused as refusal:
            return [msgspec.structs.replace(self._failed(order.id, refusal.error), context=refusal.use)]
        except Exception as error:
            return [self._failed(order.id, TaskError("engine_error", sentence(error)))]

    def _join(self, engine: _Loaded, request: EngineRequest) -> list[EngineOutput]:
        params = request.body.params
        prompt, max_tokens, use = fitted_prompt(engine.tokenizer, request.body, context=engine.context)
        answer = Answer(
            decode=decoder(engine.tokenizer, shown=engine.calls.markers if request.body.callable_tools else ()),
            prompt_ids=prompt,
            stops=params.stop,
            end_ids=frozenset() if params.ignore_eos else engine.end_ids,
            max_tokens=max_tokens,
        )
        guide = _guide(engine, request)
        ending = answer.replay(request.streamed)
        if ending or (guide and guide.is_complete):
            ending = "stop" if guide and guide.is_complete else ending
            return [EngineOutput(id=request.id, prompt_tokens=len(prompt), context=use, ending=ending)]
        self._growing[request.id] = _Growing(answer, len(prompt), guide)
        engine.batch.add(
            Running(
                id=request.id,
                ids=[*prompt, *request.streamed],
                sampler=Sampler.of(params, turn=request.turn),
                prompt_length=len(prompt),
                guide=guide,
                logprobs=params.logprobs,
            )
        )
        return [EngineOutput(id=request.id, prompt_tokens=len(prompt), context=use)] if use else []

    def _grown(self, engine: _Loaded, chosen: Chosen) -> EngineOutput:
        growing = self._growing[chosen.id]
        text, ending = growing.answer.push(chosen.token_id)
        if growing.guide and growing.guide.is_complete:
            text += growing.answer.close() if ending is None else ""
            ending = "stop"
        if ending:
            engine.batch.remove(chosen.id)
            del self._growing[chosen.id]
        return EngineOutput(
            id=chosen.id,
            token_ids=(chosen.token_id,),
            text=text,
            logprobs=_logprobs(engine, chosen),
            prompt_tokens=growing.prompt_tokens,
            ending=ending,
        )

    def _broken(self, request_id: str, error: Exception) -> EngineOutput:
        if isinstance(error, GuideFailed):
            why = f"The form that was asked for is too complex to be kept to: {error}"
            return self._failed(request_id, TaskError("unsupported_output", why))
        log.error("%s: a forward pass failed: %s", request_id, sentence(error))
        log.debug("traceback", exc_info=error)
        return self._failed(request_id, TaskError("engine_error", sentence(error)))

    def _failed(self, request_id: str, error: TaskError) -> EngineOutput:
        growing = self._growing.pop(request_id, None)
        return EngineOutput(
            id=request_id, prompt_tokens=growing.prompt_tokens if growing else 0, ending="failed", error=error
        )


def _guide(engine: _Loaded, request: EngineRequest) -> Guide | None:
    body = request.body
    if isinstance(engine.guides, TaskError):
        if body.params.logprobs is not None or guided_calls(body, engine.calls) or body.output is not None:
            raise PromptRefused(engine.guides)
        return None
    if guided_calls(body, engine.calls):
        token_id = special_id(engine.tokenizer, engine.guides.tokens)
        return engine.guides.of(guided_calls(body, engine.calls, token_id=token_id), streamed=request.streamed)
    return engine.guides.of(grammar_of(body.output), streamed=request.streamed) if body.output else None


def _logprobs(engine: _Loaded, chosen: Chosen) -> tuple[TokenLogprob, ...]:
    if chosen.logprobs is None or chosen.token_id in engine.end_ids or isinstance(engine.guides, TaskError):
        return ()
    return (told(engine.guides.tokens, (chosen.token_id, chosen.logprobs.chosen), chosen.logprobs.best),)


def load(
    name: str, args: TransformersArgs, slots: int, phases: Phases | None = None, *, tool_format: str = "auto"
) -> _Loaded:
    """Model and tokenizer from a folder or the hub, warmed up by one short answer."""
    phases = phases or StartPhases()
    phases.enter("load")
    local = Path(name).is_dir()
    if not local and name.startswith(("/", "./", "../", "~")):
        raise FileNotFoundError("there is no such folder")
    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    device = args.device if args.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    dtype = args.dtype if args.dtype != "auto" else "float32" if device == "cpu" else "bfloat16"
    tokenizer = transformers.AutoTokenizer.from_pretrained(name, local_files_only=local)
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(
        name, dtype=getattr(torch, dtype), attn_implementation="sdpa", local_files_only=local
    )
    model.to(device).eval()
    if device == "cpu":
        cores = 1 if model.num_parameters() < SMALL_MODEL else len(os.sched_getaffinity(0))
        torch.set_num_threads(args.threads or cores)
    context = min(args.context, longest_context(model.config.get_text_config()))
    batch = ContinuousBatch(
        model=model,
        cache=RowCache(layers=model.config.get_text_config().num_hidden_layers, slots=slots, context=context),
        slots=slots,
        prefill_tokens=args.prefill_tokens,
    )
    phases.enter("compile")
    _warm_up(batch)
    ends = end_ids(model.generation_config.eos_token_id, model.config.eos_token_id, tokenizer.eos_token_id)
    try:
        vocabulary = model.config.get_text_config().vocab_size
        guides: Guides | TaskError = Guides(tokens_of(tokenizer, vocabulary=vocabulary, end_ids=ends))
    except ValueError as error:
        guides = TaskError(
            "unsupported_output",
            f"This model's answers can neither be guided nor told token by token: {sentence(error)}",
        )
    calls = chosen(tool_format, tokenizer.chat_template)
    return _Loaded(tokenizer, batch, context, ends, guides, calls)


def longest_context(config: Any) -> int:
    """How far this engine can run the model: sliding windows are not implemented, so they bound the context."""
    kinds = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None)
    unknown = kinds - {"full_attention", "sliding_attention"}
    if unknown:
        raise ValueError(f"its layers of type {', '.join(sorted(unknown))} need another engine, such as vllm")
    limit = int(getattr(config, "max_position_embeddings", None) or 1 << 30)
    if window and (not kinds or "sliding_attention" in kinds):
        limit = min(limit, int(window))
    return limit


def _warm_up(batch: ContinuousBatch) -> None:
    greedy = Sampler.of(SamplingParams(temperature=0), turn="warm-up")
    for row in range(batch.slots):
        batch.add(Running(id=f"warm-up {row}", ids=[0, 0], sampler=greedy, prompt_length=2))
    for _ in range(3):
        for error in batch.step().failed.values():
            raise error
    for row in range(batch.slots):
        batch.remove(f"warm-up {row}")


def _tell(loop: asyncio.AbstractEventLoop, call: Any, *args: Any) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody listens any more
        loop.call_soon_threadsafe(call, *args)
