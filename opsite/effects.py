"""What goes on outside requests and workers: chores that act on the world or submit work in somebody's name, in one process.

A chore keeps what it has to do in Postgres and claims it row by row, so that any number of these processes may run, and one that is
killed loses nothing. They wait for the network most of their time: hence asyncio here, and not celery, whose worker holds one job
at a time. Each gets the web process's context: it submits tasks by the very path that requests take.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial

from django.conf import settings

from agents.faces.context import Context
from agents.faces.shares import Share, share_of_each
from agents.runner.chore import Runner
from agents.runner.lines import run_conversations
from batches.runner.chore import run_batches
from batches.runner.tidy import tidy_files
from billing.budgets import watch as watch_budgets
from comparisons.running import run_comparisons
from knowledge.ingest import ingest
from knowledge.tool import knowledge_search
from outbound.client import Outbound
from schedules.firing import fire_schedules
from telemetry.metrics.effects import CHORES_FAILED
from telemetry.pulse import PULSE
from webhooks.delivery import deliver

log = logging.getLogger(__name__)

Chore = Callable[[Context, asyncio.Event], Awaitable[None]]
"""Works until the event is set. What it raises is logged, and it begins again after a pause."""

AGAIN_S = 1.0
BEAT_EVERY_S = 1.0
BEAT_WITHIN_S = 30.0


async def _tools(context: Context, stop: asyncio.Event) -> None:
    async with Outbound(settings.OPSITE_OUTBOUND_POLICY) as outbound:
        elsewhere = {"knowledge_search": partial(knowledge_search, context)}
        await Runner(context, outbound, elsewhere=elsewhere).run(stop)


CHORES: dict[str, Chore] = {
    "tools": _tools,
    "conversations": run_conversations,
    "webhooks": deliver,
    "schedules": fire_schedules,
    "comparisons": run_comparisons,
    "batches": run_batches,
    "files": tidy_files,
    "budgets": watch_budgets,
    "ingestion of documents": ingest,
}


async def run(
    stop: asyncio.Event,
    *,
    database_url: str,
    redis_url: str,
    body_limit: int,
    connections: int,
    chores: Mapping[str, Chore] = CHORES,
) -> None:
    """All chores, until `stop` is set. Each has its share of the connections to Postgres; the rest is for what they submit."""
    context = await Context.start(
        database_url=database_url, redis_url=redis_url, body_limit=body_limit, connections=connections
    )
    each = share_of_each(connections, chores=len(chores))
    try:
        async with asyncio.TaskGroup() as group:
            for name, chore in chores.items():
                own = dataclasses.replace(context, db=Share(context.db, connections=each))
                group.create_task(_kept_up(name, chore, own, stop), name=name)
            group.create_task(_beat(stop), name="beat")
    finally:
        await context.close()


async def _beat(stop: asyncio.Event) -> None:
    """Tell that the loop turns."""
    while not stop.is_set():
        PULSE.beat("effects", within_s=BEAT_WITHIN_S)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), BEAT_EVERY_S)


async def _kept_up(name: str, chore: Chore, context: Context, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await chore(context, stop)
        except Exception:
            log.exception("%s failed; it begins again", name)
            CHORES_FAILED.labels(name).inc()
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), AGAIN_S)
