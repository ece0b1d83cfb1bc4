"""Real worker processes on the real Redis, and engines run by hand."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from gpu_worker.engines import Engine, EngineOutput, EngineRequest
from taskqueue.async_client import AsyncQueue
from taskqueue.messages import Record, SamplingParams, Submission, TokenLogprob, TurnBody

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0
"""Bound of every wait: far above what is expected, because the machine may be busy."""


class WorkerProcess:
    """`python -m gpu_worker` with its stderr in a file."""

    def __init__(self, environment: dict[str, str], log: Path, *, python: str = sys.executable) -> None:
        self._log = log
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [python, "-m", "gpu_worker"],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environment},
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )

    @property
    def stderr(self) -> str:
        return self._log.read_text()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """The exit code."""
        return self.process.wait(timeout_s)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


StartWorker = Callable[..., WorkerProcess]


@pytest.fixture
def start_worker(redis_url: str, pool: str, tmp_path: Path) -> Iterator[StartWorker]:
    """Start workers of the pool; keywords are settings without their OPSITE_ prefix, in lower case."""
    started: list[WorkerProcess] = []

    def start(worker_id: str = "worker", **settings: object) -> WorkerProcess:
        values = {"redis_url": redis_url, "pool": pool, "engine": "simulated", "worker_id": worker_id, "lease_s": 2}
        environment = {f"OPSITE_{name.upper()}": str(value) for name, value in (values | settings).items()}
        started.append(WorkerProcess(environment, tmp_path / f"{worker_id}-{len(started)}.log"))
        return started[-1]

    yield start
    for worker in started:
        worker.end()


def submission(number: int, *, prompt: str | None = None, deadline_ms: int = 0, **params: object) -> Submission:
    """A turn with a prompt of its own."""
    body = TurnBody(prompt=prompt or f"tell me of number {number}", params=SamplingParams(**params))  # type: ignore[arg-type]
    return Submission(turn=f"turn-{number}", task=f"task-{number}", tenant="acme", body=body, deadline_ms=deadline_ms)


async def outcomes(
    queue: AsyncQueue, count: int, *, reap: bool = False, bound_s: float = PATIENCE_S
) -> dict[str, Record]:
    """Wait for the ends of `count` turns, as the recorder would; `reap` also does the orchestrator's part meanwhile."""
    ended: dict[str, Record] = {}
    async with asyncio.timeout(bound_s):
        while len(ended) < count:
            if reap:
                await queue.reap(max_attempts=9)
            records = await queue.read_records(block_s=0.2)
            ended |= {record.turn: record for record in records if record.kind == "finished"}
            await queue.acknowledge(records)
    return ended


async def until(condition: Callable[[], object], *, bound_s: float = PATIENCE_S) -> None:
    """Poll a condition (an awaitable one is awaited) until it holds."""
    async with asyncio.timeout(bound_s):
        while True:
            value = condition()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return
            await asyncio.sleep(0.01)


async def streamed_text(queue: AsyncQueue, task: str) -> str:
    """A task's text from its log, after checking that the numbers have neither gap nor repeat."""
    events = await queue.read_log(task, count=100_000)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    return "".join(json.loads(event.data) for event in events if event.kind == "text")


async def told_of(queue: AsyncQueue, task: str) -> list[TokenLogprob]:
    """What a task's log tells, after checking that its numbers have neither gap nor repeat."""
    events = await queue.read_log(task, count=100_000)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    lists = [json.loads(event.data) for event in events if event.kind == "logprobs"]
    return [msgspec.convert(one, TokenLogprob) for told in lists for one in told]


class Ran:
    """What an engine made of one request."""

    def __init__(self) -> None:
        self.text = ""
        self.token_ids: list[int] = []
        self.last: EngineOutput | None = None

    def take(self, output: EngineOutput) -> None:
        assert self.last is None, "output after the ending"
        self.text += output.text
        self.token_ids += output.token_ids
        if output.ending:
            self.last = output


async def run_engine(engine: Engine, requests: Sequence[EngineRequest]) -> dict[str, Ran]:
    """Submit all at once and collect until all have ended."""
    ran = {request.id: Ran() for request in requests}
    engine.submit(requests)
    async with asyncio.timeout(PATIENCE_S * 3):
        while any(one.last is None for one in ran.values()):
            for output in await engine.collect():
                ran[output.id].take(output)
    return ran


def request(number: int, *, prompt: str = "", streamed: Sequence[int] = (), **params: object) -> EngineRequest:
    """A request with a prompt of its own."""
    body = TurnBody(prompt=prompt or f"number {number}", params=SamplingParams(**params))  # type: ignore[arg-type]
    return EngineRequest(
        id=f"turn-{number}:1", turn=f"turn-{number}", tenant="acme", body=body, streamed=tuple(streamed)
    )


def seconds(started: float) -> float:
    """Seconds since a `time.monotonic()`."""
    return time.monotonic() - started
