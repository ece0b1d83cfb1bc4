"""Redis itself, for tests that look behind the queue's clients, and a queue of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from redis import Redis

from taskqueue.async_client import AsyncQueue
from taskqueue.connections import connect


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    redis = connect(redis_url)
    yield redis
    redis.close()


@pytest.fixture
async def queue(redis_url: str, pool: str) -> AsyncIterator[AsyncQueue]:
    queue = AsyncQueue(redis_url, pool)
    yield queue
    await queue.aclose()
