"""Several tasks' events as one stream, live and resumable: each task has its cursor, the number of the last event that was seen.

It stands on the event log as the faces do (`taskqueue.inbox`), with a hub of its own for each who watches.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import AsyncGenerator, Mapping
from typing import NamedTuple

from taskqueue.failures import QueueUnavailable
from taskqueue.inbox import EventHub
from taskqueue.messages import Event

log = logging.getLogger(__name__)

KEEP_ALIVE_S = 15.0


class Watched(NamedTuple):
    """A task of a pool, seen until `after`."""

    pool: str
    after: int = 0


class News(NamedTuple):
    """Events of one task, in order. `ended`: no more will come of it from the log, which has its outcome, or is gone."""

    task: str
    events: list[Event]
    ended: bool = False


async def follow(watched: Mapping[str, Watched], *, redis_url: str) -> AsyncGenerator[News | None, None]:
    """The news of these tasks as they come, until all have ended; None where there was none for a while."""
    hub = EventHub(redis_url, f"console-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}")
    news: asyncio.Queue[News] = asyncio.Queue()
    readers = [asyncio.create_task(_read(hub, task, one, news)) for task, one in watched.items()]
    try:
        left = set(watched)
        while left:
            try:
                told = await asyncio.wait_for(news.get(), KEEP_ALIVE_S)
            except TimeoutError:
                yield None
                continue
            if told.ended:
                left.discard(told.task)
            yield told
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        await hub.aclose()


async def _read(hub: EventHub, task: str, one: Watched, news: asyncio.Queue[News]) -> None:
    try:
        async with hub.subscribe(one.pool, task, after=one.after) as subscription:
            while subscription.last and not subscription.ended:  # without a log there is nothing to wait for
                if events := await subscription.batch():
                    news.put_nowait(News(task, events))
    except QueueUnavailable as error:
        log.warning("the stream of task %s breaks off: %s", task, error)
    finally:
        news.put_nowait(News(task, [], ended=True))
