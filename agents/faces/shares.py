"""A part of a process' connections to Postgres, so that one of its chores cannot take them all from the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from agents.faces.database import Database
from agents.problems import unavailable


class Share(Database):
    """As the whole, but for how many connections are used at a time; who opened the whole closes it."""

    def __init__(self, whole: Database, *, connections: int) -> None:
        self._whole = whole
        self._free = asyncio.Semaphore(connections)

    async def connect(self) -> Any:
        return await self._whole.connect()

    @asynccontextmanager
    async def connection(self, *, timeout_s: float = 5.0) -> AsyncIterator[Any]:
        try:
            async with asyncio.timeout(timeout_s):
                await self._free.acquire()
        except TimeoutError as error:
            raise unavailable("The database") from error
        try:
            async with self._whole.connection(timeout_s=timeout_s) as connection:
                yield connection
        finally:
            self._free.release()


def share_of_each(connections: int, *, chores: int) -> int:
    """How many connections each of so many chores may use: all together one in eight less than there are, but one at least."""
    return max(1, (connections - connections // 8) // max(1, chores))
