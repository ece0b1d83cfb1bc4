"""How long a worker puts up with a Redis that does not answer: it tries again with growing pauses, then gives up."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from gpu_worker.failures import RedisGone
from taskqueue.failures import QueueUnavailable

T = TypeVar("T")
log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0


class Patience:
    """Shared by all calls of a worker: one success of any of them means that Redis is there."""

    def __init__(self, *, limit_s: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_s = limit_s
        self._clock = clock
        self._gone_at: float | None = None

    async def call(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Repeat `attempt` until Redis takes it. Raises `RedisGone` after `limit_s` without any answer."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                answer = await attempt()
            except QueueUnavailable as error:
                now = self._clock()
                if self._gone_at is None:
                    self._gone_at = now
                    log.warning("Redis does not answer, trying again: %s", error)
                elif now - self._gone_at >= self._limit_s:
                    raise RedisGone(f"Redis did not answer for {self._limit_s:g} s: {error}") from error
            else:
                if self._gone_at is not None:
                    log.warning("Redis answers again after %.1f s", self._clock() - self._gone_at)
                    self._gone_at = None
                return answer
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
