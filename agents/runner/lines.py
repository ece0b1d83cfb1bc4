"""Conversations go on: tasks that waited for one that has ended run now, and those that a later message replaces are ended.

What is to be done stands in Postgres, so any number of processes may look, and one that is killed loses nothing. A start is
committed before it is enqueued; one whose enqueue was not heard the sweep brings back.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

import msgspec

from agents.branches import Standing, follows, next_of
from agents.context_settings import trims
from agents.faces import database
from agents.faces.context import Context
from agents.faces.found import cancel_of
from agents.faces.placing import chained
from agents.message_paths import MESSAGES
from agents.problems import Problem
from agents.runner import line_statements as statements
from agents.runner.advance import submission_of
from agents.submissions import CONVERSATIONS_CHANNEL
from agents.summaries import with_summary
from taskqueue.failures import QueueUnavailable
from taskqueue.messages import Allowance
from tenants.identifiers import new_id

log = logging.getLogger(__name__)

LOOK_S = 1.0


async def run_conversations(context: Context, stop: asyncio.Event) -> None:
    """Until `stop`: look when somebody says that there is something to do, and every second."""
    wake = asyncio.Event()
    beside = [
        asyncio.create_task(_listen(context, wake), name="conversations announced"),
        asyncio.create_task(_wake_on(stop, wake)),
    ]
    try:
        while not stop.is_set():
            wake.clear()
            await _each(look(context))
            with suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), LOOK_S)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


async def look(context: Context) -> None:
    """Do all that there is to do now."""
    await context.db.run(statements.SETTLE)
    for row in await context.db.all(statements.SUPERSEDED):
        await _each(cancel_of(context, row["tenant"], row["task"]))
    for row in await context.db.all(statements.LATE):
        queue = context.hub.queue(row["pool"])
        await _each(queue.end_task(str(row["task"]), turn=str(row["turn"]), state="expired"))
    for row in await context.db.all(statements.DUE):
        await _each(start_next(context, row["line"]))


async def start_next(context: Context, line: uuid.UUID) -> None:
    """Put the next task of a line behind what was said meanwhile, and enqueue it. Whoever does it twice does it once."""
    async with context.db.connection() as connection, connection.transaction():
        conversation = await (await connection.execute(statements.LOCK, [line])).fetchone()
        if conversation is None:
            return
        standing = await (await connection.execute(statements.LINE, [line])).fetchall()
        replies = [msgspec.convert(row, Standing) for row in standing]
        found = next_of(replies, head=conversation["head"])
        row = None if found is None else await (await connection.execute(statements.TASK, [found[0]])).fetchone()
        if found is None or row is None:
            return
        task, after = found
        place = {"conversation": conversation["id"], "head": after}
        past = await _past(connection, row, place)
        said = row["input"][-row["said"] :]
        whole = [*row["input"][: -row["said"]], *past, *said]
        written = chained([{"id": new_id(), **_spoken(one)} for one in said], after, row["messages"])
        allowed = msgspec.convert(row["allowance"], Allowance | None)
        starting = submission_of(row, turn=row["turn"], messages=whole, allowed=allowed)
        await connection.execute(statements.OVER, [line])
        await connection.execute(
            statements.START,
            {
                "conversation": conversation["id"],
                "tenant": row["tenant"],
                "task": task,
                "turn": row["turn"],
                "after": after,
                "question": written[-1]["number"],
                "leads": follows(replies, head=conversation["head"]),
                "messages": msgspec.json.encode(written).decode(),
                "input": msgspec.json.encode(whole).decode(),
            },
        )
    queue = context.hub.queue(row["pool"])
    await queue.restart([str(task)])  # where Redis has lost the log its readers are told so
    await queue.enqueue([starting])


async def _past(connection: database.Connection, row: dict[str, Any], place: dict[str, Any]) -> list[dict[str, Any]]:
    """The branch as it is sent: with its latest summary, where the agent has them written. For a task that waited none is written
    first: what is then too long is trimmed.
    """
    messages = await (await connection.execute(MESSAGES, place)).fetchall()
    ids = [str(message.pop("id")) for message in messages]
    if row["setting"].get("strategy") != "summarise" or not trims(row["options"]):
        return messages
    of = [row["tenant"], place["conversation"]]
    kept = await (await connection.execute(database.SUMMARIES, of)).fetchall()
    return with_summary(messages, ids, {str(one["last"]): one["text"] for one in kept})[0]


def _spoken(message: dict[str, Any]) -> dict[str, Any]:
    return {"role": message["role"], "content": message["content"]}


async def _listen(context: Context, wake: asyncio.Event) -> None:
    while True:
        try:
            async with await context.db.connect() as connection:
                await connection.execute(f"LISTEN {CONVERSATIONS_CHANNEL}")
                wake.set()
                async for _ in connection.notifies():
                    wake.set()
        except Exception as error:
            log.warning("conversations are not heard of at once: %s", error)
        await asyncio.sleep(LOOK_S)


async def _wake_on(stop: asyncio.Event, wake: asyncio.Event) -> None:
    await stop.wait()
    wake.set()


async def _each(step: Awaitable[Any]) -> None:
    """One row's trouble is not the next one's."""
    try:
        await step
    except (QueueUnavailable, Problem) as error:
        log.warning("conversations: %s; it is looked at again", error)
    except Exception:
        log.exception("conversations: one step failed; it is looked at again")
