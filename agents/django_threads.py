"""Django's queries on a few threads of a chore's own, for processes in which several chores share one event loop.

By default all of them go to one thread, one after another: a chore with slow statements holds up every other one. Each thread here
has a connection to Postgres of its own, so `count` of them is what a chore may cost there.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import ParamSpec, Self, TypeVar

from channels.db import database_sync_to_async
from django.db import connections

P = ParamSpec("P")
R = TypeVar("R")

CLOSE_S = 30.0
"""How long the end waits for threads that are still in a statement."""


class DjangoThreads:
    """Call it with a function and its arguments, inside `async with`."""

    def __init__(self, name: str, *, count: int) -> None:
        self._count = count
        self._executor = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        """A connection can only be closed by its own thread: each of them does so once, which the barrier sees to."""
        barrier = threading.Barrier(self._count, timeout=CLOSE_S)
        closing = [self._executor.submit(_close_connections, barrier) for _ in range(self._count)]
        await asyncio.gather(*map(asyncio.wrap_future, closing))
        self._executor.shutdown(wait=False)

    async def __call__(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it on one of the threads; connections that are too old, or broken, are closed before and after."""
        run: Callable[P, Awaitable[R]] = database_sync_to_async(
            function, thread_sensitive=False, executor=self._executor
        )
        return await run(*args, **kwargs)


def _close_connections(barrier: threading.Barrier) -> None:
    with suppress(threading.BrokenBarrierError):
        barrier.wait()
    connections.close_all()
