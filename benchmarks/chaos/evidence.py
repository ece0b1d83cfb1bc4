"""What Postgres and Redis keep of every task at the end, asked of the servers themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import psycopg
import redis.asyncio

from agents.lifecycle import OUTCOMES
from benchmarks.chaos.scene import Scene
from benchmarks.chaos.verdict import Kept, Told
from taskqueue import keys
from taskqueue.entries import unpack_tokens

LOG_S = 60.0
"""So long Redis is asked for a log; no fault keeps it away for longer."""

_ROWS = "SELECT idempotency_key, state, output FROM agents_task WHERE idempotency_key IS NOT NULL"
_OPEN = "SELECT count(*) FROM agents_task WHERE state <> ALL(%s)"


async def kept(scene: Scene, all_told: Iterable[Told]) -> dict[str, Kept]:
    """By idempotency key."""
    rows: dict[str, list[tuple[str, str]]] = {}
    async with await psycopg.AsyncConnection.connect(scene.database_url) as connection:
        for key, state, output in await (await connection.execute(_ROWS)).fetchall():
            rows.setdefault(key, []).append((state, output))
    found: dict[str, Kept] = {}
    async with redis.asyncio.Redis.from_url(scene.redis_url) as client:
        for told in all_told:
            known = rows.get(told.key, [])
            state, output = known[0] if known else ("", "")
            ends = [await _outcomes(client, told.pool, task) for task in told.ids]
            found[told.key] = Kept(len(known), state, output, max(ends, default=0))
    return found


async def _outcomes(client: redis.asyncio.Redis, pool: str, task: str) -> int:
    entries: Any = await client.xrange(keys.log(pool, task))
    return sum(fields[b"k"] == b"outcome" for _, fields in entries)


async def tokens(scene: Scene, told: Told) -> list[int]:
    """The token ids in the log of a task that has just ended; none where Redis has lost it."""
    give_up_at = time.monotonic() + LOG_S
    while time.monotonic() < give_up_at:
        try:
            async with redis.asyncio.Redis.from_url(scene.redis_url, socket_timeout=1.0) as client:
                entries: Any = await client.xrange(keys.log(told.pool, next(iter(told.ids))))
        except redis.exceptions.RedisError:  # it is being hurt just now
            await asyncio.sleep(0.2)
            continue
        return [token for _, fields in entries for token in unpack_tokens(fields.get(b"t", b""))]
    return []


async def open_tasks(scene: Scene, *, patience_s: float) -> int:
    """Tasks without an outcome after `patience_s`, whether their client was told of them or not."""
    give_up_at = time.monotonic() + patience_s
    async with await psycopg.AsyncConnection.connect(scene.database_url, autocommit=True) as connection:
        while True:
            row: tuple[Any, ...] | None = await (await connection.execute(_OPEN, [sorted(OUTCOMES)])).fetchone()
            count = int(row[0]) if row else 0
            if not count or time.monotonic() > give_up_at:
                return count
            await asyncio.sleep(0.2)
