"""How the synchronous client connects: bounded waits, and no silent second try.

A command that is sent again by the driver could take effect twice (a claim would claim twice), so the caller decides.
"""

from __future__ import annotations

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

SOCKET_TIMEOUT_S = 5.0
"""As in `taskqueue.link`; what blocks may wait for less."""


def _options() -> dict[str, Any]:
    return {"socket_timeout": SOCKET_TIMEOUT_S, "socket_connect_timeout": 5.0}


def connect(url: str) -> redis.Redis:
    """A synchronous client."""
    return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **_options())
