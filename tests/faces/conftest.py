"""A real web process, a real recorder where asked for, and a worker made of nothing but the queue's client."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

import httpx
import pytest

from taskqueue.async_client import AsyncQueue
from taskqueue.messages import ClaimedTurn, Delta, Finish, OutcomeState, Usage
from tests.processes import Process, start_process
from tests.scene import Scene

PATIENCE_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Web:
    """One running web process."""

    url: str
    process: Process
    scene: Scene

    def client(self, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=PATIENCE_S)


@pytest.fixture
def live_scene(transactional_db: None) -> Scene:
    return Scene.make(max_waiting=20)


@pytest.fixture
def start(process_env: dict[str, str]) -> Iterator[Callable[..., Process]]:
    """Starts `manage.py …` as a real process; all of them are ended after the test."""
    started: list[Process] = []

    def run(*command: str, **env: str) -> Process:
        process = start_process("manage.py", *command, env={**process_env, **env})
        started.append(process)
        return process

    yield run
    for process in started:
        process.send_signal(signal.SIGCONT)
        process.terminate()
    for process in started:
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(params=["daphne", "uvicorn"])
def server(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def web(live_scene: Scene, start: Callable[..., Process], server: str) -> Web:
    port = free_port()
    process = start("serve", "--port", str(port), "--server", server)
    url = f"http://127.0.0.1:{port}"
    await_ready(url, process)
    return Web(url, process, live_scene)


def await_ready(url: str, process: Process, status: int = 200) -> None:
    deadline = time.monotonic() + PATIENCE_S
    with httpx.Client(timeout=5, verify=False) as client:  # certificates are read at great length for each new client
        while time.monotonic() < deadline:
            assert process.poll() is None, "the web process ended"
            try:
                if client.get(f"{url}/readyz").status_code == status:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
    raise AssertionError(f"no {status} from {url}/readyz in {PATIENCE_S} s")


@dataclass
class HandWorker:
    """Claims, emits and finishes as a test says."""

    queue: AsyncQueue
    name: str = "hand"
    used: dict[str, int] = field(default_factory=dict)

    async def claim(self, count: int = 1) -> list[ClaimedTurn]:
        deadline = time.monotonic() + PATIENCE_S
        claimed: list[ClaimedTurn] = []
        while len(claimed) < count and time.monotonic() < deadline:
            claimed += await self.queue.claim(self.name, count - len(claimed), lease_s=PATIENCE_S)
            if len(claimed) < count:
                await self.queue.wait_for_work(timeout_s=1)
        assert len(claimed) == count
        return claimed

    async def say(self, turn: ClaimedTurn, *texts: str) -> None:
        for text in texts:
            seq = self.used.get(turn.turn, turn.seq) + 1
            self.used[turn.turn] = seq
            delta = Delta(turn=turn.turn, attempt=turn.attempt, seq=seq, text=text, token_ids=(7,))
            assert await self.queue.emit(self.name, [delta]) == []

    async def end(self, turn: ClaimedTurn, text: str = "", *, state: OutcomeState = "succeeded") -> None:
        seq = self.used.get(turn.turn, turn.seq) + 1
        finish = Finish(
            turn=turn.turn, task=turn.task, attempt=turn.attempt, seq=seq, state=state,
            finish_reason="stop" if state == "succeeded" else None,
            usage=Usage(3, 2), text=text, first_token_ms=time.time_ns() // 1_000_000,
        )  # fmt: skip
        assert await self.queue.finish(self.name, [finish]) == []

    async def serve(self, count: int, *texts: str) -> None:
        """Answer `count` turns with the same texts."""
        for _ in range(count):
            (turn,) = await self.claim()
            await self.say(turn, *texts)
            await self.end(turn, "".join(texts))


@pytest.fixture
async def worker(live_scene: Scene, redis_url: str) -> AsyncIterator[HandWorker]:
    queue = AsyncQueue(redis_url, live_scene.pool.slug)
    yield HandWorker(queue)
    await queue.aclose()


async def until(check: Callable[[], object]) -> None:
    """Wait for something that another process does, with a bound."""
    deadline = time.monotonic() + PATIENCE_S
    while not check():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.02)
