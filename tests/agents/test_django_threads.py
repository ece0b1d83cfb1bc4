"""A chore's own threads: beside all others, as many as it has, and their connections go with them."""

from __future__ import annotations

import asyncio
import threading

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from agents.django_threads import DjangoThreads

PATIENCE_S = 60


def backends() -> int:
    """Sessions of this database, but for this one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND application_name = 'a chore'"
        )
        return int(cursor.fetchone()[0])


def met(barrier: threading.Barrier) -> str:
    """One of several that wait for each other, each with a session of its own."""
    with connection.cursor() as cursor:
        cursor.execute("SET application_name = 'a chore'")
    barrier.wait()
    return threading.current_thread().name


@pytest.mark.django_db(transaction=True)
async def test_they_run_beside_each_other_and_close_their_connections() -> None:
    barrier = threading.Barrier(3, timeout=PATIENCE_S)
    async with DjangoThreads("chore", count=3) as threads:
        names = await asyncio.gather(*(threads(met, barrier) for _ in range(3)))
        assert len(set(names)) == 3
        assert await sync_to_async(backends)() == 3
        with pytest.raises(ValueError, match="invalid literal"):
            await threads(int, "x")
        async with asyncio.timeout(PATIENCE_S):
            # The one thread of everybody else's is not theirs: they go on while it waits.
            waiting = threading.Event()
            others = asyncio.ensure_future(sync_to_async(waiting.wait)(PATIENCE_S))
            assert await threads(threading.current_thread) is not threading.main_thread()
            waiting.set()
            assert await others
    async with asyncio.timeout(PATIENCE_S):
        while await sync_to_async(backends)():  # noqa: ASYNC110 - Postgres notices it a moment later
            await asyncio.sleep(0.01)
