"""Redis itself, for tests that look behind the queue's clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from taskqueue.connections import connect


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    redis = connect(redis_url)
    yield redis
    redis.close()
