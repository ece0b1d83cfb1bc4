"""The long step of a batch: lines become tasks, as many at a time as there is room for.

A line's task is made under an idempotency key of its own. Whoever makes it again, because a process died before it had written down
the task, is given the same one.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple

import msgspec
from django.conf import settings

from agents.faces.context import Context
from agents.faces.database import Row
from agents.faces.submit import submit_to
from agents.problems import Problem, bad_key
from batches import statements, storage
from batches.endpoints import ENDPOINTS, Asker
from batches.identifiers import BATCH, LINE, shown
from batches.lines import body_of
from batches.runner.results import refused
from batches.runner.share import group, pause_s, queue_limits, room, share
from taskqueue.failures import QueueUnavailable

PRIORITY = 9
READ_BYTES = 4 * 1024 * 1024
"""Of lines that are submitted together."""
AGAIN_S = 1.0
AGAIN_MAX_S = 15.0
LATER = frozenset({"too_many_waiting", "rate_limit_exceeded", "deadline_too_early", "conflict"})
"""Codes of refusals that pass by waiting, beside all of status 503."""


class _Later(NamedTuple):
    """Nothing came of it; it may later."""

    pause_s: float


class _Task(NamedTuple):
    """What is written down of a line: its task, or its failure; and how long to wait, for the limits per minute."""

    row: dict[str, Any]
    pause_s: float


async def feed(context: Context, batch: Row) -> float:
    """Submit the next lines; returns for how many seconds no more may be."""
    while batch["expires_at"].timestamp() > time.time():
        said = await _submit_some(context, batch)
        pause_s = max((one.pause_s for one in said), default=0.0)
        if pause_s or not any(isinstance(one, _Task) and "failure" in one.row for one in said):
            return pause_s
    return AGAIN_S


async def _submit_some(context: Context, batch: Row) -> list[_Task | _Later]:
    """As many as there is room for. Those that are refused leave room for more."""
    asker = await _asker(context, batch)
    known = None if isinstance(asker, Problem) else asker.principal
    limits, at_once = ((), None) if known is None else (queue_limits(known), group(known))
    rows = await _next_lines(context, batch, room(settings.OPSITE_BATCH_WINDOW, limits))
    rows = _readable(rows if at_once is None else rows[:at_once])
    if not rows:
        return []
    start, last = rows[0]["offset"], rows[-1]
    length = last["offset"] + last["length"] - start
    data = await storage.read(context.db, batch["input_file_id"], offset=start, length=length)
    bodies = [data[row["offset"] - start :][: row["length"]] for row in rows]
    said = await asyncio.gather(*(_submit(asker, batch, *line) for line in zip(rows, bodies, strict=True)))
    submitted = [one.row for one in said if isinstance(one, _Task)]
    if submitted:
        await context.db.run(statements.SUBMITTED, msgspec.json.encode(submitted).decode())
    return said


async def _next_lines(context: Context, batch: Row, whole: int) -> list[Row]:
    mine = share(whole, nth=batch["nth"], sharing=batch["sharing"])
    arguments = {"batch": batch["id"], "tenant": batch["tenant_id"], "share": mine, "whole": whole}
    async with context.db.connection() as connection:
        return await (await connection.execute(statements.NEXT_LINES, arguments)).fetchall()


def _readable(rows: list[Row]) -> list[Row]:
    """As many of the first as may be read at once; lines between them may have ended before."""
    return [row for row in rows if row is rows[0] or row["offset"] + row["length"] - rows[0]["offset"] <= READ_BYTES]


async def _asker(context: Context, batch: Row) -> Asker | Problem:
    """In whose name the lines are run, or why its key may not any more: each line is told so."""
    try:
        if batch["api_key_id"] is None:
            raise bad_key()
        principal = await context.directory.principal_of(batch["api_key_id"])
        principal.require("tasks:write")
    except Problem as problem:
        if problem.status == 503:
            raise
        return problem
    return Asker(context, principal)


async def _submit(asker: Asker | Problem, batch: Row, line: Row, data: bytes) -> _Task | _Later:
    name = shown(LINE, line["id"])
    try:
        if isinstance(asker, Problem):
            raise asker
        work = await ENDPOINTS[batch["endpoint"]].work(asker, body_of(data))
        request = msgspec.structs.replace(
            work.request,
            priority=PRIORITY,
            deadline_at=batch["expires_at"],
            idempotency_key=name,
            metadata={"batch": shown(BATCH, batch["id"]), "custom_id": line["custom_id"]},
        )
        submitted = await submit_to(asker.context, asker.principal, work.agent, request)
    except QueueUnavailable:
        return _Later(AGAIN_S)
    except Problem as problem:
        if problem.status == 503 or problem.code in LATER or any(one.field == "deadline_at" for one in problem.errors):
            return _Later(min(AGAIN_MAX_S, problem.retry_after_s or AGAIN_S))
        return _Task({"id": line["id"], "failure": refused(name, problem)}, 0.0)
    row = {"id": line["id"], "task": submitted.task, "model": work.model}
    return _Task(row, min(AGAIN_MAX_S, pause_s(submitted.headers)))
