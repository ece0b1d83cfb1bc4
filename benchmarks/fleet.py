"""A fleet of declared stand-ins for a benchmark: simulated workers, several to a process, on one Redis."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

from benchmarks.stack import ROOT
from taskqueue.async_client import AsyncQueue

READY_S = 60.0


@contextlib.asynccontextmanager
async def fleet(
    url: str, queue: AsyncQueue, *, workers: int, processes: int, slots: int, engine_args: Mapping[str, Any]
) -> AsyncIterator[list[int]]:
    """Start the workers of the queue's pool, yield their processes' ids when all are ready, and end them."""
    started = [
        _start(url, queue.pool, count, number, slots, engine_args)
        for number, count in enumerate(split(workers, processes))
    ]
    try:
        async with asyncio.timeout(READY_S):
            while sum(s.phase == "ready" for s in (await queue.signals()).workers) < workers:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        yield [process.pid for process in started]
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(15)


def split(workers: int, processes: int) -> list[int]:
    """Workers as evenly as can be over at most so many processes."""
    processes = min(workers, processes)
    return [workers // processes + (number < workers % processes) for number in range(processes)]


def _start(
    url: str, pool: str, count: int, number: int, slots: int, engine_args: Mapping[str, Any]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "gpu_worker"],
        cwd=ROOT,
        env={
            **os.environ,
            "OPSITE_REDIS_URL": url,
            "OPSITE_POOL": pool,
            "OPSITE_WORKER_ID": f"bench-{number}",
            "OPSITE_ENGINE": "simulated",
            "OPSITE_SLOTS": str(slots),
            "OPSITE_SIMULATED_WORKERS": str(count),
            "OPSITE_ENGINE_ARGS": json.dumps(dict(engine_args)),
            "OPSITE_LOG_LEVEL": "warning",
        },
    )
