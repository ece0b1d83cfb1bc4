"""All processes that a batch needs: web, recorder, effects, and a worker with the simulated engine."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import openai
import pytest
from openai.types import Batch

from tests.faces.conftest import PATIENCE_S, Web, await_ready, free_port, start
from tests.gpu_worker.conftest import StartWorker, WorkerProcess, start_worker
from tests.scene import Party, Scene

__all__ = ["start", "start_worker"]  # fixtures

Start = Callable[..., subprocess.Popen[bytes]]
ENDED = {"completed", "failed", "expired", "cancelled"}


@dataclass
class Stack:
    """The service; its parts can be killed and started again."""

    scene: Scene
    url: str
    start: Start
    start_worker: StartWorker
    web: subprocess.Popen[bytes]

    def effects(self, **env: str) -> subprocess.Popen[bytes]:
        return self.start("effects", **env)

    def recorder(self) -> subprocess.Popen[bytes]:
        return self.start("record")

    def worker(self, **engine: Any) -> WorkerProcess:
        args = json.dumps({"step_base_s": 0.005, **engine})
        return self.start_worker(pool=self.scene.pool.slug, slots=64, lease_s=10, engine_args=args)

    def restart_web(self) -> None:
        self.web.kill()
        self.web.wait()
        self.web = _serve(self.start, self.url)

    def client(self, party: Party) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=party.key, max_retries=0)


def _serve(start: Start, url: str) -> subprocess.Popen[bytes]:
    process = start("serve", "--port", url.rpartition(":")[2], "--server", "uvicorn")
    await_ready(url, process)
    return process


@pytest.fixture
def live_scene(transactional_db: None) -> Scene:
    return Scene.make()


@pytest.fixture
def stack(live_scene: Scene, start: Start, start_worker: StartWorker) -> Stack:
    url = f"http://127.0.0.1:{free_port()}"
    return Stack(live_scene, url, start, start_worker, _serve(start, url))


@pytest.fixture
async def ann(stack: Stack) -> AsyncIterator[openai.AsyncOpenAI]:
    async with stack.client(stack.scene.ann) as client:
        yield client


@pytest.fixture
def web(stack: Stack) -> Web:
    return Web(stack.url, stack.web, stack.scene)


def line(number: int, **more: Any) -> dict[str, Any]:
    """A line that asks for a short answer."""
    body = {"model": "poet", "messages": [{"role": "user", "content": f"tell me of {number}"}], "max_tokens": 3}
    return {"custom_id": f"line-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body, **more}


def jsonl(lines: list[Any]) -> bytes:
    """Lines; what is no object is taken as it stands."""
    return b"".join((one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in lines)


async def begin(client: openai.AsyncOpenAI, data: bytes, **more: Any) -> Batch:
    """Upload, and make the batch."""
    file = await client.files.create(file=("lines.jsonl", data), purpose="batch")
    return await client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", **more
    )


async def ended(client: openai.AsyncOpenAI, batch: Batch, *, bound_s: float = PATIENCE_S) -> Batch:
    """The batch when it has ended."""
    return await until(client, batch, lambda now: now.status in ENDED, bound_s=bound_s)


async def until(
    client: openai.AsyncOpenAI, batch: Batch, check: Callable[[Batch], bool], *, bound_s: float = PATIENCE_S
) -> Batch:
    """The batch when `check` says so."""
    async with asyncio.timeout(bound_s):
        while True:
            now = await client.batches.retrieve(batch.id)
            if check(now):
                return now
            await asyncio.sleep(0.05)


async def lines_of(client: openai.AsyncOpenAI, file: str | None) -> list[dict[str, Any]]:
    """The lines of an output or error file; none where there is no such file."""
    if file is None:
        return []
    return [json.loads(one) for one in (await client.files.content(file)).text.splitlines()]
