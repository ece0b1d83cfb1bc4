"""Batches on real servers: the service inside the test, with a worker made by hand, or all of its processes."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import openai
import psycopg
import pytest
import uvicorn
from django.conf import settings
from openai.types import Batch
from starlette.types import Receive, Scope, Send

from agents.faces.app import ROUTES, Faces
from agents.faces.context import Context
from agents.recorder import record_once
from batches.faces import routes
from batches.runner.chore import run_batches
from taskqueue.async_client import AsyncQueue
from taskqueue.messages import ClaimedTurn, Finish, TaskError, Usage
from tests.faces.conftest import PATIENCE_S, HandWorker, await_ready, free_port, start
from tests.gpu_worker.conftest import StartWorker, start_worker
from tests.scene import Party, Scene

__all__ = ["start", "start_worker"]  # fixtures

Start = Callable[..., subprocess.Popen[bytes]]
ENDED = {"completed", "failed", "expired", "cancelled"}


@pytest.fixture
def live_scene(transactional_db: None) -> Scene:
    """So few may wait that a batch of 30 lines has never all of them in the queue: 10 at a time."""
    return Scene.make(max_waiting=20)


@dataclass
class Service:
    """Web and recorder inside the test. `run` begins to run batches; without it they stay as they are made."""

    scene: Scene
    url: str
    context: Context
    worker: HandWorker
    tasks: asyncio.TaskGroup
    stop: asyncio.Event

    def client(self, party: Party) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=party.key, max_retries=0)

    def run(self) -> None:
        self.tasks.create_task(run_batches(self.context, self.stop))

    async def fail(self, turn: ClaimedTurn) -> None:
        """End a turn as its worker would that cannot run it."""
        error = TaskError("context_length_exceeded", "The prompt is too long.")
        finish = Finish(
            turn=turn.turn, task=turn.task, attempt=turn.attempt, seq=turn.seq + 1, state="failed", error=error,
            usage=Usage(3, 0),
        )  # fmt: skip
        assert await self.worker.queue.finish(self.worker.name, [finish]) == []


@pytest.fixture
async def service(live_scene: Scene, database_url: str, redis_url: str) -> AsyncIterator[Service]:
    faces = Faces(
        _nothing,
        database_url=database_url,
        redis_url=redis_url,
        body_limit=settings.OPSITE_BODY_LIMIT_BYTES,
        routes=[*ROUTES, *routes.ROUTES],
    )
    port, stop = free_port(), asyncio.Event()
    server = uvicorn.Server(uvicorn.Config(faces, port=port, log_level="warning", ws="none"))
    queue = AsyncQueue(redis_url, live_scene.pool.slug)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve())
        tasks.create_task(_record(database_url, queue, stop))
        async with asyncio.timeout(PATIENCE_S):
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
        yield Service(live_scene, f"http://127.0.0.1:{port}", await faces.context(), HandWorker(queue), tasks, stop)
        stop.set()
        server.should_exit = True
    await queue.aclose()


async def _record(database_url: str, queue: AsyncQueue, stop: asyncio.Event) -> None:
    """As the recorder does, and at an end soon."""
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        while not stop.is_set():
            await record_once(connection, queue, block_s=0.05)


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError(f"nothing is behind {scope['path']}")


@pytest.fixture
async def ann(service: Service) -> AsyncIterator[openai.AsyncOpenAI]:
    async with service.client(service.scene.ann) as client:
        yield client


@pytest.fixture
async def bob(service: Service) -> AsyncIterator[openai.AsyncOpenAI]:
    async with service.client(service.scene.bob) as client:
        yield client


@dataclass
class Processes:
    """The whole service as processes, which can be killed and started again."""

    scene: Scene
    url: str
    start: Start
    web: subprocess.Popen[bytes]
    effects: subprocess.Popen[bytes]

    def kill(self) -> None:
        """SIGKILL to web and effects, at once."""
        for process in (self.effects, self.web):
            process.kill()
        for process in (self.effects, self.web):
            process.wait()

    def start_again(self) -> None:
        """The two that were killed."""
        self.effects, self.web = self.start("effects"), serve(self.start, self.url)


def serve(start: Start, url: str) -> subprocess.Popen[bytes]:
    process = start("serve", "--port", url.rpartition(":")[2])
    await_ready(url, process)
    return process


@pytest.fixture
def processes(transactional_db: None, start: Start, start_worker: StartWorker) -> Processes:
    scene = Scene.make()
    url = f"http://127.0.0.1:{free_port()}"
    start("record")
    effects = start("effects")
    start_worker(pool=scene.pool.slug, slots=256, lease_s=30, engine_args=json.dumps({"step_base_s": 0.02}))
    return Processes(scene, url, start, serve(start, url), effects)


def line(number: int, model: str = "poet", **more: Any) -> dict[str, Any]:
    """A line that asks for a short answer."""
    body = {"model": model, "messages": [{"role": "user", "content": f"tell me of {number}"}], "max_tokens": 3}
    return {"custom_id": f"line-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body, **more}


def jsonl(*lines: Any) -> bytes:
    """Lines; what is bytes is taken as it stands."""
    return b"".join((one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in lines)


async def begin(client: openai.AsyncOpenAI, data: bytes, **more: Any) -> Batch:
    """Upload, and make the batch."""
    file = await client.files.create(file=("lines.jsonl", data), purpose="batch")
    asked: dict[str, Any] = {"endpoint": "/v1/chat/completions", "completion_window": "24h", **more}
    return await client.batches.create(input_file_id=file.id, **asked)


async def ended(client: openai.AsyncOpenAI, batch: Batch) -> Batch:
    """The batch when it has ended."""
    return await until(client, batch, lambda now: now.status in ENDED)


async def until(client: openai.AsyncOpenAI, batch: Batch, check: Callable[[Batch], bool]) -> Batch:
    """The batch when `check` says so."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            now = await client.batches.retrieve(batch.id)
            if check(now):
                return now
            await asyncio.sleep(0.02)


def counts(batch: Batch) -> tuple[int, int, int]:
    """Lines in all, completed, failed."""
    said = batch.request_counts
    assert said is not None
    return said.total, said.completed, said.failed


async def lines_of(client: openai.AsyncOpenAI, file: str | None) -> dict[str | None, dict[str, Any]]:
    """The lines of an output or error file by their custom_id; none where there is no such file."""
    if file is None:
        return {}
    rows = [json.loads(one) for one in (await client.files.content(file)).text.splitlines()]
    for row in rows:
        assert set(row) == {"id", "custom_id", "response", "error"}
        assert row["id"].startswith("batch_req_")
    return {row["custom_id"]: row for row in rows}
