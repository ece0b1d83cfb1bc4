"""The processes that run trials of policies: bounded in number and time, and ended with whoever waits for them."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Sequence

import msgspec
from django.conf import settings

from orchestrator.rehearsal.figures import Tried
from orchestrator.rehearsal.trial import Trial

LIMIT_S = 60.0
"""A trial that takes longer is ended."""
AT_ONCE = 2
"""Trials at a time in one web process: each keeps a core busy."""


class TooMuch(Exception):
    """There is no time for it: the message says when to try again."""


_running = threading.BoundedSemaphore(AT_ONCE)


async def run(trials: Sequence[Trial]) -> list[Tried]:
    """All at the same time, each in a process of its own, which ends with whoever waits for it. Raises `TooMuch`."""
    if not _running.acquire(blocking=False):
        raise TooMuch(f"{AT_ONCE} trials are being made: try again in some seconds.")
    processes: list[asyncio.subprocess.Process] = []
    try:
        async with asyncio.timeout(LIMIT_S):
            for _ in trials:
                processes.append(await _process())  # noqa: PERF401 - one by one: none is left behind
            said = await asyncio.gather(
                *(one.communicate(msgspec.json.encode(trial)) for one, trial in zip(processes, trials, strict=True))
            )
    except TimeoutError:
        raise TooMuch(
            f"It took longer than {LIMIT_S:.0f} s and was ended: this machine has too much to do now."
        ) from None
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
        await asyncio.shield(asyncio.gather(*(process.wait() for process in processes)))
        _running.release()
    return [msgspec.json.decode(out, type=Tried) for out, _ in said]


async def _process() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "orchestrator.rehearsal",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=settings.BASE_DIR,
    )
