"""vLLM in this process (`AsyncLLM`; its engine core is a child): GPU, or CPU where vLLM's CPU build is installed.

Prompts go in as token ids, so that a continued turn is the prompt's ids and the streamed ones. Text is made by the same
`Answer` as elsewhere and not by vLLM's detokeniser, which would begin anew at the seam with stop strings.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import multiprocessing
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from llguidance import LLTokenizer

from gpu_worker.detokenize import Answer
from gpu_worker.engines import EngineOutput, EngineRequest, Phases
from gpu_worker.engines.cache_salt import cache_salt
from gpu_worker.engines.child_noise import ChildNoise
from gpu_worker.engines.fitting import fitted_prompt
from gpu_worker.engines.guided_calls import guided_calls
from gpu_worker.engines.leash import leash_children
from gpu_worker.engines.outbox import Outbox
from gpu_worker.engines.prompting import PromptRefused, decoder, end_ids
from gpu_worker.engines.token_text import special_id, tokens_of, told
from gpu_worker.engines.vllm_guide import SCHEDULER, guided, guided_by, structured_config
from gpu_worker.engines.vllm_phases import SMALL_TALK, VllmPhases
from gpu_worker.failures import BadSetting, EngineCannotStart, WorkerFailure, sentence
from gpu_worker.phases import StartPhases
from gpu_worker.settings import Settings
from gpu_worker.tool_formats.chosen import chosen
from gpu_worker.tool_formats.form import ToolFormat
from gpu_worker.tool_formats.hermes import HERMES
from taskqueue.messages import TaskError, TokenLogprob

log = logging.getLogger(__name__)

HEALTH_S = 1.0
"""How often an idle worker looks whether the engine core still lives."""

CORE_DIED = "vLLM's engine core died; its last words are in the log"

SHUTDOWN_S = 0.3
"""How long the engine core may take to end by itself; it holds nothing that is worth waiting for."""

FEW_CORES = 4
"""Up to so many, vLLM's processes may not spin for each other."""


class _Loaded(msgspec.Struct, frozen=True):
    llm: Any
    tokenizer: Any
    context: int
    end_ids: frozenset[int]
    calls: ToolFormat


class VllmEngine:
    """One vLLM engine; OPSITE_ENGINE_ARGS are the fields of its `AsyncEngineArgs`, the model and slots excepted."""

    def __init__(self, settings: Settings) -> None:
        if not settings.model:
            raise BadSetting("OPSITE_MODEL is not set: give a folder or a Hugging Face id")
        self._settings = settings
        self._outbox = Outbox()
        self._running: dict[str, asyncio.Task[EngineOutput]] = {}
        self._loaded: _Loaded | None = None
        self._health: asyncio.Task[None] | None = None
        self._tokens: LLTokenizer | None = None

    @property
    def tool_format(self) -> ToolFormat:
        return self._loaded.calls if self._loaded else HERMES

    async def start(self, phases: Phases | None = None) -> None:
        self._loaded = await asyncio.to_thread(load, self._settings, phases or StartPhases())
        self._health = asyncio.create_task(self._watch(self._loaded.llm), name="engine core health")

    def submit(self, requests: Sequence[EngineRequest]) -> None:
        for request in requests:
            task = asyncio.create_task(self._stream(request), name=request.id)
            self._running[request.id] = task
            task.add_done_callback(self._ended)

    def abort(self, ids: Sequence[str]) -> None:
        for request_id in ids:
            if task := self._running.get(request_id):
                task.cancel()

    async def collect(self) -> list[EngineOutput]:
        return await self._outbox.collect()

    async def close(self) -> None:
        if self._health:
            self._health.cancel()
        if self._loaded:
            with suppress(Exception):
                await asyncio.wait_for(asyncio.to_thread(self._loaded.llm.shutdown, SHUTDOWN_S), 2 * SHUTDOWN_S)
        for child in multiprocessing.active_children():
            child.kill()

    async def _watch(self, llm: Any) -> None:
        while not llm.errored:  # noqa: ASYNC110 - vLLM has a flag, no event
            await asyncio.sleep(HEALTH_S)
        self._outbox.die(CORE_DIED)

    def _ended(self, task: asyncio.Task[EngineOutput]) -> None:
        """The last output of a request, however its task ended; a callback, because a task may end before it began."""
        request_id = task.get_name()
        del self._running[request_id]
        if task.cancelled():
            last = EngineOutput(id=request_id, ending="aborted")
        elif isinstance(error := task.exception(), PromptRefused):
            last = EngineOutput(id=request_id, ending="failed", error=error.error, context=error.use)
        elif error is None:
            last = task.result()
        elif self._loaded and self._loaded.llm.errored:
            self._outbox.die(CORE_DIED)
            return
        else:
            log.debug("%s failed", request_id, exc_info=error)
            last = EngineOutput(id=request_id, ending="failed", error=TaskError("engine_error", sentence(error)))
        self._outbox.put([last])

    async def _stream(self, request: EngineRequest) -> EngineOutput:
        """Put all outputs but the last, which is returned."""
        from vllm import SamplingParams
        from vllm.exceptions import VLLMValidationError
        from vllm.sampling_params import RequestOutputKind

        assert self._loaded is not None
        params = request.body.params
        prompt, max_tokens, use = fitted_prompt(self._loaded.tokenizer, request.body, context=self._loaded.context)
        ends = frozenset() if params.ignore_eos else self._loaded.end_ids
        answer = Answer(
            decode=decoder(
                self._loaded.tokenizer, shown=self._loaded.calls.markers if request.body.callable_tools else ()
            ),
            prompt_ids=prompt,
            stops=params.stop,
            end_ids=ends,
            max_tokens=max_tokens,
        )
        if ending := answer.replay(request.streamed):
            return EngineOutput(id=request.id, prompt_tokens=len(prompt), context=use, ending=ending)
        if use:
            self._outbox.put([EngineOutput(id=request.id, prompt_tokens=len(prompt), context=use)])
        sampling = SamplingParams(
            max_tokens=max_tokens - len(request.streamed),
            temperature=params.temperature,
            top_p=params.top_p,
            top_k=params.top_k,
            # vLLM's generator starts anew with every request: a continuation must not throw the same dice again.
            seed=None if params.seed is None else params.seed + len(request.streamed),
            ignore_eos=params.ignore_eos,
            stop_token_ids=sorted(ends),
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
            logprobs=params.logprobs,
            **await self._guided(request),
        )
        outputs = self._loaded.llm.generate(self._salted([*prompt, *request.streamed], request), sampling, request.id)
        try:
            async for output in outputs:
                completion = output.outputs[0]
                grown = _grown(request.id, answer, list(completion.token_ids), len(prompt), completion.finish_reason)
                grown = msgspec.structs.replace(grown, cached_tokens=output.num_cached_tokens or 0)
                if completion.logprobs is not None:
                    logprobs = await self._told(grown, completion.logprobs, ends, best=params.logprobs or 0)
                    grown = msgspec.structs.replace(grown, logprobs=logprobs)
                if grown.ending:
                    return grown
                self._outbox.put([grown])
        except VLLMValidationError as error:
            if sampling.structured_outputs is None:
                raise
            raise PromptRefused(TaskError("unsupported_output", f"vLLM cannot keep to this form: {error}")) from error
        finally:
            await outputs.aclose()  # vLLM's abort, where it had not ended by itself
        raise RuntimeError("vLLM ended the request without a finish reason")

    async def _told(
        self, grown: EngineOutput, logprobs: Sequence[Any], ends: frozenset[int], *, best: int
    ) -> tuple[TokenLogprob, ...]:
        """The log probabilities of one of vLLM's outputs."""
        tokens, found = await self._single_tokens(), []
        for token_id, row in zip(grown.token_ids, logprobs, strict=False):
            if token_id not in ends:
                ranked = sorted(row.items(), key=lambda one: (-one[1].logprob, one[0]))[:best]
                likeliest = [(other, entry.logprob) for other, entry in ranked]
                found.append(told(tokens, (token_id, row[token_id].logprob), likeliest))
        return tuple(found)

    async def _guided(self, request: EngineRequest) -> dict[str, Any]:
        """The fields of vLLM's `SamplingParams` that guide an answer to its form, or to calls."""
        assert self._loaded is not None
        calls, body = self._loaded.calls, request.body
        if not (plain := guided_calls(body, calls)):
            return guided(body.output, request.streamed)
        token_id = special_id(self._loaded.tokenizer, await self._single_tokens())
        return guided_by(plain, guided_calls(body, calls, token_id=token_id), request.streamed)

    async def _single_tokens(self) -> LLTokenizer:
        """The tokenizer as llguidance sees it. The first time it is read, which may take a second."""
        assert self._loaded is not None
        if self._tokens is None:
            vocabulary = self._loaded.llm.model_config.get_vocab_size()
            self._tokens = await asyncio.to_thread(
                tokens_of, self._loaded.tokenizer, vocabulary=vocabulary, end_ids=self._loaded.end_ids
            )
        return self._tokens

    def _salted(self, ids: list[int], request: EngineRequest) -> dict[str, Any]:
        """The whole prompt as vLLM takes it, in the tenant's own part of the prefix cache."""
        salt = cache_salt(self._settings.cache_salt_key, request.tenant)
        return {"type": "token", "prompt_token_ids": ids, "cache_salt": salt}


def _grown(request_id: str, answer: Answer, ids: list[int], prompt_tokens: int, reason: str | None) -> EngineOutput:
    """One of vLLM's outputs as ours; ids behind our own ending are dropped."""
    text, ending = "", None
    taken: list[int] = []
    for token_id in ids:
        piece, ending = answer.push(token_id)
        text += piece
        taken.append(token_id)
        if ending:
            break
    if ending is None and reason in ("stop", "length"):
        text, ending = text + answer.close(), "stop" if reason == "stop" else "length"
    if ending is None and reason is not None:
        error = TaskError("engine_error", f"vLLM ended the request with {reason!r}")
        return EngineOutput(id=request_id, token_ids=tuple(taken), text=text, ending="failed", error=error)
    return EngineOutput(id=request_id, token_ids=tuple(taken), text=text, prompt_tokens=prompt_tokens, ending=ending)


def load(settings: Settings, phases: Phases) -> _Loaded:
    """Start vLLM. Raises `EngineCannotStart` with the root cause in one line."""
    debug = settings.log_level == "debug"
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "INFO")  # its phases are read from what it says
    os.environ.setdefault("VLLM_WORKER_MULTIPROCESSING_METHOD", "spawn")  # this process has threads: a fork could hang
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    name = settings.model
    if Path(name).is_dir():
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing to look up; a worker may have no network at all
    elif name.startswith(("/", "./", "../", "~")):
        raise EngineCannotStart(f"model {name!r} does not load: there is no such folder")
    leash_children()
    noise = ChildNoise(passed_on=debug, hears=VllmPhases(phases).hear, drops=None if debug else SMALL_TALK)
    try:
        with noise:
            loaded = _load(settings, phases)
        if not debug:
            logging.getLogger("vllm").setLevel(logging.WARNING)
        return loaded
    except WorkerFailure:
        raise
    except ImportError as error:
        raise EngineCannotStart(f"engine 'vllm' is not installed here: {sentence(error)}") from error
    except Exception as error:
        cause = noise.cause() if "ngine core" in str(error) else None
        raise EngineCannotStart(f"model {name!r} does not load in vLLM: {cause or sentence(error)}") from error


def _few_cores(engine_args: dict[str, Any]) -> dict[str, Any]:
    """On a CPU of few cores the model runs inside the engine core's process, not in one of its own.

    Two processes wait for each other in loops of `sched_yield`; on 2 cores nothing else of the host got to run beside
    them, for up to 6 s at a time: neither a heartbeat, nor Redis, nor the web server. With many cores vLLM's own choice
    is better: it binds OpenMP's threads there.
    """
    from vllm.platforms import current_platform

    parallel = any(engine_args.get(f"{kind}_parallel_size", 1) != 1 for kind in ("tensor", "pipeline", "data"))
    if not current_platform.is_cpu() or parallel or len(os.sched_getaffinity(0)) > FEW_CORES:
        return {}
    # Otherwise vLLM overrules the choice; `AsyncLLM` has its core in a process of its own all the same.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    return {"distributed_executor_backend": "uni"}


def _load(settings: Settings, phases: Phases) -> _Loaded:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.engine.async_llm import AsyncLLM

    phases.enter("engine")

    known = {field.name for field in dataclasses.fields(AsyncEngineArgs)} - {"model"}
    unknown = sorted(set(settings.engine_args) - known)
    if unknown:
        raise BadSetting(f"OPSITE_ENGINE_ARGS: vLLM's AsyncEngineArgs has no {', '.join(unknown)}")
    defaults = {"max_num_seqs": settings.slots, "disable_log_stats": True} | _few_cores(settings.engine_args)
    given = defaults | settings.engine_args
    given["structured_outputs_config"] = structured_config(given.get("structured_outputs_config") or {})
    args = AsyncEngineArgs(model=settings.model, **given)
    vllm_config = args.create_engine_config(UsageContext.ENGINE_CONTEXT)
    if vllm_config.scheduler_config.scheduler_cls is None:
        vllm_config.scheduler_config.scheduler_cls = SCHEDULER
    llm = AsyncLLM.from_vllm_config(
        vllm_config, enable_log_requests=args.enable_log_requests, disable_log_stats=args.disable_log_stats
    )
    config = llm.model_config
    generation = config.try_get_generation_config() or {}
    tokenizer = llm.renderer.tokenizer
    ends = end_ids(
        generation.get("eos_token_id"),
        getattr(config.hf_text_config, "eos_token_id", None),
        getattr(tokenizer, "eos_token_id", None),
    )
    calls = chosen(settings.tool_format, getattr(tokenizer, "chat_template", None))
    return _Loaded(llm, tokenizer, int(config.max_model_len), ends, calls)
