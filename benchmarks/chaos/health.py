"""Is all well, by what the servers themselves say; and does `/readyz` tell the truth?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import psycopg
import redis.asyncio

from agents.lifecycle import OUTCOMES
from benchmarks.chaos.scene import Scene, is_ready
from taskqueue import keys
from taskqueue.async_client import AsyncQueue
from taskqueue.failures import QueueUnavailable

BEAT_S = 2.5
"""A living worker's last heartbeat is younger."""
UNRECORDED_S = 2.5
"""So long may a record wait for the recorder when all is well."""
LOOK_EVERY_S = 0.2
LIE_AFTER_S = 2.0
"""A server may be away for so long before `/readyz` must say so: its own check waits a second."""

LEADERS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
OPEN_TURNS = """
    SELECT p.slug, u.id::text FROM agents_task t JOIN agents_turn u ON u.task_id = t.id JOIN orchestrator_pool p ON p.id = t.pool_id
    WHERE t.state <> ALL(%s) AND t.created_at < now() - interval '1 second'
"""


class Health:
    """Asks the servers directly, not through the relays; and the clients: `still` says how many streams stand still since then."""

    def __init__(self, scene: Scene, still: Callable[[float], int]) -> None:
        self._scene, self._still = scene, still

    async def ills(self, *, since: float) -> list[str]:
        """What is not well now; empty when everything is, and each stream that has begun has moved on since `since` (monotonic)."""
        ills = [f"{url} is not ready" for url in self._scene.urls if not await is_ready(url)]
        if (running := self._scene.alive()) < 5:
            ills.append(f"{running} of 5 processes run")
        if still := self._still(since):
            ills.append(f"{still} streams stand still")
        try:
            async with asyncio.timeout(3.0):
                ills += await self._ills_of_servers()
        except (TimeoutError, psycopg.Error, QueueUnavailable, redis.asyncio.RedisError) as error:
            ills.append(f"a server does not answer: {type(error).__name__}")
        return ills

    async def _ills_of_servers(self) -> list[str]:
        ills = []
        async with await psycopg.AsyncConnection.connect(self._scene.database_url, autocommit=True) as connection:
            leaders = await (await connection.execute(LEADERS)).fetchone()
            if not leaders or not leaders[0]:
                ills.append("no orchestrator leads")
            turns = await (await connection.execute(OPEN_TURNS, [sorted(OUTCOMES)])).fetchall()
        for pool, wanted in self._scene.wanted.items():
            queue = AsyncQueue(self._scene.redis_url, pool)
            try:
                signals = await queue.signals()
                known = await queue.known([turn for slug, turn in turns if slug == pool])
            finally:
                await queue.aclose()
            alive = self._scene.workers()[pool].keys() & {
                status.worker
                for status in signals.workers
                if status.phase == "ready" and signals.now_ms - status.beat_ms < BEAT_S * 1000
            }
            if len(alive) < wanted:
                ills.append(f"{len(alive)} of {wanted} workers of {pool} are ready")
            if missing := known.count(False):
                ills.append(f"{missing} accepted tasks are unknown to Redis")
            ills += await self._unrecorded(pool, signals.now_ms)
        return ills

    async def _unrecorded(self, pool: str, now_ms: int) -> list[str]:
        async with redis.asyncio.Redis.from_url(self._scene.redis_url) as client:
            oldest: Any = await client.xrange(keys.record(pool), count=1)
        age_s = (now_ms - int(oldest[0][0].split(b"-")[0])) / 1000 if oldest else 0.0
        return [f"records of {pool} wait for {age_s:.0f} s"] if age_s > UNRECORDED_S else []

    async def until_well(self, *, timeout_s: float, since: float = 0.0) -> list[str]:
        """Wait until all is well; what is not by then."""
        give_up_at = time.monotonic() + timeout_s
        while ills := await self.ills(since=since):
            self._scene.note(f"health: {'; '.join(ills)}")
            if time.monotonic() > give_up_at:
                break
            await asyncio.sleep(LOOK_EVERY_S)
        return ills


@dataclass(slots=True)
class Truth:
    """Watches `/readyz` of all web processes, and knows when a server was away for certain."""

    urls: list[str]
    answers: list[tuple[float, float, bool | None]] = field(default_factory=list)
    away: list[tuple[float, float]] = field(default_factory=list)

    async def watch(self) -> None:
        """Ask for ever."""
        await asyncio.gather(*(self._watch(url) for url in self.urls))

    async def _watch(self, url: str) -> None:
        while True:
            asked_at = time.monotonic()
            self.answers.append((asked_at, 0.0, None))
            place = len(self.answers) - 1
            answer = await is_ready(url)
            self.answers[place] = (asked_at, time.monotonic(), answer)
            await asyncio.sleep(LOOK_EVERY_S)


def lies(
    answers: Iterable[tuple[float, float, bool | None]], away: Iterable[tuple[float, float]]
) -> list[tuple[float, float]]:
    """When "ready" was said although a server was away all along, and had been for `LIE_AFTER_S`: asked and answered. Pure."""
    spans = list(away)
    return [
        (asked_at, answered_at)
        for asked_at, answered_at, answer in answers
        if answer is True and any(begun + LIE_AFTER_S <= asked_at and answered_at <= ended for begun, ended in spans)
    ]
