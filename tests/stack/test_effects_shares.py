"""A chore of `manage.py effects` that holds all the connections it may leaves the others theirs."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest
from django.conf import settings

from agents.faces.context import Context
from agents.faces.shares import share_of_each
from agents.problems import Problem
from opsite import effects
from tests.gpu_worker.conftest import until

LOCK = 5_117_033
HELD = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted"


@pytest.mark.parametrize(
    ("connections", "chores", "each"), [(16, 7, 2), (8, 7, 1), (1, 7, 1), (64, 7, 8), (16, 1, 14), (16, 0, 14)]
)
def test_shares(connections: int, chores: int, each: int) -> None:
    assert share_of_each(connections, chores=chores) == each


@pytest.mark.django_db(transaction=True)
async def test_a_slow_chore_holds_up_no_other(database_url: str, redis_url: str) -> None:
    stop, served = asyncio.Event(), asyncio.Event()
    refused: list[Any] = []

    async def greedy(context: Context, stop: asyncio.Event) -> None:
        """Fifty statements that wait for a lock."""
        waits = [context.db.run("SELECT pg_advisory_xact_lock(%s)", LOCK) for _ in range(50)]
        refused.extend(one for one in await asyncio.gather(*waits, return_exceptions=True) if one is not None)
        await stop.wait()

    async def modest(context: Context, stop: asyncio.Event) -> None:

        async def waits() -> bool:
            return bool((await context.db.all(HELD, LOCK))[0]["count"])

        await until(waits)
        for _ in range(20):
            await context.db.one("SELECT 1")
        served.set()
        await stop.wait()

    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as holder:
        await holder.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        running = asyncio.create_task(
            effects.run(
                stop,
                database_url=database_url,
                redis_url=redis_url,
                body_limit=1000,
                connections=8,
                chores={"greedy": greedy, "modest": modest},
            )
        )
        await asyncio.wait_for(served.wait(), 60)
        cursor = await holder.execute(HELD, [LOCK])
        row = await cursor.fetchone()
        assert row is not None
        assert 0 < row[0] <= share_of_each(8, chores=2)
        await holder.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
    stop.set()
    await asyncio.wait_for(running, 60)
    assert all(isinstance(one, Problem) for one in refused), "who waits too long for its own chore's is told so"


def test_the_default_gives_each_chore_two() -> None:
    assert share_of_each(settings.OPSITE_EFFECTS_DB_CONNECTIONS, chores=len(effects.CHORES)) == 2
