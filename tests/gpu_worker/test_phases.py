"""The phases of a worker's start: told by real workers, and ended by a token that was really made."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from gpu_worker.engines import EngineOutput, EngineRequest, Phases
from gpu_worker.engines.outbox import Outbox
from gpu_worker.engines.vllm_phases import SMALL_TALK, VllmPhases
from gpu_worker.failures import EngineCannotStart, EngineDied
from gpu_worker.first_token import REQUEST, make_first_token
from gpu_worker.phases import StartPhases, process_age_s
from taskqueue.async_client import AsyncQueue
from taskqueue.messages import TaskError, WorkerStatus
from tests.gpu_worker.conftest import StartWorker, until

MODEL = Path(__file__).resolve().parents[2] / "models" / "opsite-verse"


async def status(queue: AsyncQueue, phase: str, start_phase: str | None = None) -> WorkerStatus:
    """What a worker says, once it is in that phase of its life, and of its start."""
    found: list[WorkerStatus] = []

    async def told() -> bool:
        workers = (await queue.signals()).workers
        found[:] = [one for one in workers if (one.phase, one.start_phase) == (phase, start_phase)]
        return bool(found)

    await until(told)
    return found[0]


def test_a_phase_ends_where_the_next_begins_and_may_be_named_afterwards() -> None:
    phases = StartPhases(interpreter_s=0.25)
    assert phases.read() == ({"interpreter": 0.25}, None)
    phases.enter("engine")
    phases.enter("compile", after="load")  # it is not loading: whoever says so is late
    assert phases.read() == ({"interpreter": 0.25}, "engine")
    phases.enter("load", was="import")
    took, now = phases.read()
    assert (list(took), now) == (["interpreter", "import"], "load")
    phases.end()
    took, now = phases.read()
    assert (list(took), now) == (["interpreter", "import", "load"], None)


def test_a_phase_that_comes_twice_adds_up() -> None:
    phases = StartPhases()
    phases.enter("import")
    phases.enter("engine")
    begun = time.monotonic()
    while time.monotonic() - begun < 0.02:
        pass
    phases.enter("load", was="import")
    took, _ = phases.read()
    assert list(took) == ["import"]
    assert took["import"] >= 0.02


def test_the_age_of_a_process_grows_with_the_clock() -> None:
    first = process_age_s()
    assert first is not None
    assert 0 < first < time.monotonic()
    assert (process_age_s() or 0) >= first


VLLM_SAYS = """\
INFO 11-25 22:01:00 [core.py:107] Initializing a V1 LLM engine
(EngineCore pid=7) INFO 11-25 22:01:09 [cpu_model_runner.py:68] Starting to load model /models/verse...
(EngineCore pid=8) INFO 11-25 22:01:09 [cpu_model_runner.py:68] Starting to load model /models/verse...
(EngineCore pid=7) INFO 11-25 22:01:12 [default_loader.py:502] Loading weights took 2.10 seconds
(EngineCore pid=7) INFO 11-25 22:01:12 [gpu_model_runner.py:5150] Model loading took 1.2 GiB memory and 2.6 seconds
(EngineCore pid=7) INFO 11-25 22:01:30 [core.py:386] init engine (profile, create kv cache, warmup model) took 18.1 s
"""


@pytest.mark.parametrize("loading", ["Starting to load model /models/verse...", "Loading model from scratch..."])
def test_what_vllm_says_tells_its_phases_apart(loading: str) -> None:
    phases = StartPhases()
    phases.enter("engine")
    hear = VllmPhases(phases).hear
    seen = []
    for line in VLLM_SAYS.replace("Starting to load model /models/verse...", loading).splitlines():
        hear(line)
        seen.append(phases.read()[1])
        assert SMALL_TALK.search(line)
    assert seen == ["engine", "load", "load", "compile", "compile", "compile"]
    phases.end()
    assert list(phases.read()[0]) == ["import", "load", "compile"]
    assert not SMALL_TALK.search("(EngineCore pid=7) WARNING 11-25 22:01:12 [x.py:1] INFO is not what this is")


def test_a_vllm_that_is_not_understood_is_one_phase() -> None:
    phases = StartPhases()
    phases.enter("engine")
    VllmPhases(phases).hear("INFO 11-25 22:01:09 [x.py:1] The weights are being brought in")
    phases.end()
    assert list(phases.read()[0]) == ["engine"]


async def test_a_worker_tells_its_phases_while_it_starts_and_afterwards(
    queue: AsyncQueue, start_worker: StartWorker
) -> None:
    start_worker("endless", engine_args='{"startup_s": 1000}')
    start_worker("short", engine_args='{"startup_s": 1.5, "step_base_s": 0.2}')
    starting = await status(queue, "starting", "load")
    assert list(starting.start_phases) == ["interpreter", "import"]
    ready = await status(queue, "ready")
    assert list(ready.start_phases) == ["interpreter", "import", "load", "first_token"]
    assert ready.start_phases["load"] >= 1.5
    assert ready.start_phases["first_token"] >= 0.2  # a whole step of the engine
    assert ready.tokens_total == ready.work.steps == 0  # it is nobody's


async def test_a_real_engine_tells_them_too(queue: AsyncQueue, start_worker: StartWorker) -> None:
    start_worker(engine="transformers", model=MODEL)
    phases = (await status(queue, "ready")).start_phases
    assert list(phases) == ["interpreter", "import", "load", "compile", "first_token"]
    assert phases["import"] > phases["first_token"] > 0


def test_an_engine_that_dies_of_its_first_token_never_is_ready(start_worker: StartWorker) -> None:
    worker = start_worker(engine_args='{"breaking_words": "Hello"}')
    assert worker.wait() == 70
    assert worker.stderr.splitlines()[-1] == "opsite-worker: error: a request broke the simulated engine"
    assert "ready" not in worker.stderr


class Sayer:
    """An engine of which only the answer counts."""

    def __init__(self, *answers: EngineOutput) -> None:
        self._answers = answers
        self._outbox = Outbox()
        self.asked: list[EngineRequest] = []

    async def start(self, phases: Phases | None = None) -> None: ...

    def submit(self, requests: Sequence[EngineRequest]) -> None:
        self.asked += requests
        for answer in self._answers:
            self._outbox.put([answer])

    def abort(self, ids: Sequence[str]) -> None: ...

    async def collect(self) -> list[EngineOutput]:
        return await self._outbox.collect()

    async def close(self) -> None: ...

    def die(self) -> None:
        self._outbox.die("out of memory")


def says(**fields: object) -> EngineOutput:
    return EngineOutput(id=REQUEST.id, **fields)  # type: ignore[arg-type]


async def test_a_token_is_waited_for_and_a_refusal_is_told() -> None:
    engine = Sayer(says(token_ids=(7,)), says(ending="length"))
    await make_first_token(engine)
    assert engine.asked == [REQUEST]
    refused = Sayer(says(ending="failed", error=TaskError("engine_error", "no kernel for this card")))
    with pytest.raises(EngineCannotStart, match="makes no token: no kernel for this card"):
        await make_first_token(refused)
    with pytest.raises(EngineCannotStart, match="empty"):
        await make_first_token(Sayer(says(ending="stop")))
    dying = Sayer()
    waits = asyncio.create_task(make_first_token(dying))
    dying.die()
    with pytest.raises(EngineDied, match="out of memory"):
        await waits
