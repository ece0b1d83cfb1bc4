"""The stream as the page reads it: server-sent events, each with its task; at a task's end what Postgres has of it."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

import msgspec
from channels.db import database_sync_to_async

from agents.faces.requests import CURSOR_MAX
from console.playground.results import result_of, tasks_of
from console.playground.stream import Watched, follow
from staff.access import Access
from taskqueue.messages import Event

__all__ = ["Watched", "cursors", "stream"]

LOOK_EVERY_S = 0.2
LOOKS_MAX = 75
"""How long the recorder may take to bring an outcome to Postgres before the page is told that it is not there yet."""
AGAIN_MS = 1000
LIFE_S = 300.0
"""A task may take days, and a role may end meanwhile."""
_CURSOR = re.compile(r"([0-9a-f-]{36})=(\d{1,16})")


def cursors(last_event_id: str) -> dict[str, int]:
    """Where a stream was broken off, by task; what is no cursor of ours counts for nothing, and is read from the start."""
    return {task: min(int(seen), CURSOR_MAX) for task, seen in _CURSOR.findall(last_event_id)}


async def stream(access: Access, watched: Mapping[str, Watched], *, redis_url: str) -> AsyncIterator[bytes]:
    """All events of these tasks, live, each task's recorded result behind its last one, and then `done`.

    Where Redis has lost a log, Postgres has no outcome yet, or `LIFE_S` is over, it ends without `done`: the page comes again by
    itself, and is asked anew who it is.
    """
    seen = {task: one.after for task, one in watched.items()}
    over_at = time.monotonic() + LIFE_S
    yield f"retry: {AGAIN_MS}\n\n".encode()
    async with aclosing(follow(watched, redis_url=redis_url)) as told:
        async for news in told:
            if news is None:
                yield b": keep-alive\n\n"
            else:
                for event in news.events:
                    seen[news.task] = event.seq
                    yield _line(seen, news.task, event.kind, _data(event))
                if news.ended:
                    result = await _recorded(access, news.task)
                    yield _line(seen, news.task, "recorded", msgspec.json.encode(result).decode())
                    if not result["ended"]:
                        return
            if time.monotonic() >= over_at:
                return
    yield b"event: done\ndata: {}\n\n"


async def _recorded(access: Access, task: str) -> dict[str, Any]:
    """The task's result, once it has ended in Postgres, too; as it stands there if that takes too long."""
    for _ in range(LOOKS_MAX):
        result = await database_sync_to_async(_result)(access, task)
        if result["ended"]:
            return result
        await asyncio.sleep(LOOK_EVERY_S)
    return result


def _result(access: Access, task: str) -> dict[str, Any]:
    return result_of(tasks_of(access, [uuid.UUID(task)]).get())


def _data(event: Event) -> str:
    return f'{{"text":{event.data}}}' if event.kind == "text" else event.data


def _line(seen: Mapping[str, int], task: str, kind: str, data: str) -> bytes:
    cursor = ",".join(f"{one}={number}" for one, number in seen.items())
    return f'id: {cursor}\ndata: {{"task":"{task}","kind":"{kind}","data":{data}}}\n\n'.encode()
