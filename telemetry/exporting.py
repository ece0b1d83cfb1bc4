"""Exports the spans of whole tasks beside a process's real work: bounded, in the background, and never a reason to wait or to fail.

What waits is ids of tasks, a few dozen bytes each. While the collector is away they are the oldest ones that go.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple, TypeVar

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from telemetry.otel import CLOSE_S, Tracing

log = logging.getLogger(__name__)

T = TypeVar("T")

WAITING_MAX = 20_000
"""Tasks whose spans were not exported yet."""
AT_ONCE = 200
PAUSE_S = 0.5
"""Between two exports: what ended meanwhile goes together."""
SAY_EVERY_S = 60.0


class Ended(NamedTuple):
    """A task that has ended, and when its end was committed (ns since 1970; 0: not known)."""

    task: str
    committed_ns: int


Read = Callable[[Sequence[Ended]], Awaitable[list[ReadableSpan]]]
"""The spans of so many tasks, from their rows."""


class TaskSpans:
    """Waits for tasks that have ended, and exports their spans."""

    def __init__(self, tracing: Tracing, read: Read) -> None:
        self._exporter, self._read = tracing.exporter, read
        self._waiting: deque[Ended] = deque()
        self._wake, self._closing = asyncio.Event(), asyncio.Event()
        self._lost, self._said_at = 0, -SAY_EVERY_S
        self._running = asyncio.get_running_loop().create_task(
            self._run(), name="spans of tasks", context=contextvars.Context()
        )

    def ended(self, tasks: Iterable[str]) -> None:
        """These were committed just now. It returns at once, whatever the collector does."""
        at = time.time_ns()
        self._waiting.extend(Ended(task, at) for task in tasks)
        while len(self._waiting) > WAITING_MAX:
            self._waiting.popleft()
            self._lost += 1
        if self._waiting:
            self._wake.set()

    async def close(self) -> None:
        """Export what is left, for a few seconds at most."""
        self._closing.set()
        self._wake.set()
        await asyncio.wait((self._running,), timeout=CLOSE_S)
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        while not self._closing.is_set() or self._waiting:
            await self._wake.wait()
            self._wake.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), PAUSE_S)
            while self._waiting:
                await self._export([self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))])

    async def _export(self, tasks: list[Ended]) -> None:
        try:
            spans = await self._read(tasks)
            if spans and await _on_thread(partial(self._exporter.export, spans)) is not SpanExportResult.SUCCESS:
                self._say(len(tasks), "the collector does not take them")
        except Exception as error:
            self._say(len(tasks), str(error))

    def _say(self, tasks: int, why: str) -> None:
        self._lost += tasks
        if time.monotonic() - self._said_at >= SAY_EVERY_S:
            self._said_at = time.monotonic()
            log.warning("the spans of %d tasks are lost by now: %s", self._lost, why)


async def _on_thread(work: Callable[[], T]) -> T:
    """What `work` returns, on a thread that holds up neither the loop nor the end of the process: a dead collector may hold it."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def answer(result: T | None, error: Exception | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except Exception as error:
            failure = error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(answer, result, failure)

    threading.Thread(target=run, name="spans of tasks", daemon=True).start()
    return await done
