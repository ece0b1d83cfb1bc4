"""The processes that run trials of policies: bounded in number and time, and ended with whoever waits for them."""

from __future__ import annotations

import asyncio
import hashlib
import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import msgspec
from django.conf import settings

from orchestrator.rehearsal.figures import Tried
from orchestrator.rehearsal.trial import Trial

LIMIT_S = 60.0
"""A trial that takes longer is ended."""
AT_ONCE = 2
"""Trials at a time in one web process: each keeps a core busy."""


KEPT = 16
"""Results of the last trials, in one web process."""


class TooMuch(Exception):
    """There is no time for it: the message says when to try again."""


_running = threading.BoundedSemaphore(AT_ONCE)
_results: OrderedDict[str, Tried] = OrderedDict()
"""The last ones, by what was tried: the present policy's trial is the same for all that are tried beside it within a minute."""


async def run(trials: Sequence[Trial]) -> list[Tried]:
    """All at the same time, each in a process of its own, which ends with whoever waits for it. Raises `TooMuch`."""
    if not _running.acquire(blocking=False):
        raise TooMuch(f"{AT_ONCE} trials are being made: try again in some seconds.")
    try:
        asked = [msgspec.json.encode(trial) for trial in trials]
        names = [hashlib.sha256(one).hexdigest() for one in asked]
        found = {name: _results[name] for name in names if name in _results}
        missing = {name: one for name, one in zip(names, asked, strict=True) if name not in found}
        found |= zip(missing, await _made(list(missing.values())), strict=True)
    finally:
        _running.release()
    _keep(found)
    return [found[name] for name in names]


async def _made(asked: Sequence[bytes]) -> list[Tried]:
    processes: list[asyncio.subprocess.Process] = []
    try:
        async with asyncio.timeout(LIMIT_S):
            for _ in asked:
                processes.append(await _process())  # noqa: PERF401 - one by one: none is left behind
            said = await asyncio.gather(*(one.communicate(data) for one, data in zip(processes, asked, strict=True)))
    except TimeoutError:
        raise TooMuch(
            f"It took longer than {LIMIT_S:.0f} s and was ended: this machine has too much to do now."
        ) from None
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
        await asyncio.shield(asyncio.gather(*(process.wait() for process in processes)))
    if any(process.returncode for process in processes):
        raise TooMuch(
            "A trial ended without a result, as one does that is killed: try again; the web process' log may say why."
        )
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


def _keep(found: Mapping[str, Tried]) -> None:
    for name, tried in found.items():
        _results[name] = tried
        _results.move_to_end(name)
    while len(_results) > KEPT:
        _results.popitem(last=False)
