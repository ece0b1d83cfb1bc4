"""The long step of a batch: lines become tasks, as many at a time as there is room for.

A line's tasks are made together, under an idempotency key of the line. Whoever makes them again, because a process died before it
had noted them, is given the same ones.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from django.conf import settings

from agents.faces.context import Context
from agents.faces.database import Row
from agents.faces.idempotency import idempotency
from agents.faces.requests import TaskRequest
from agents.faces.submit import submit_together
from agents.problems import Problem, bad_field, bad_key
from batches import statements, storage
from batches.endpoints import ENDPOINTS, Asker, Work
from batches.identifiers import BATCH, LINE, shown
from batches.lines import body_of
from batches.runner.results import refused
from batches.runner.share import fitting, group, most_together, pause_s, queue_limits, room, share
from taskqueue.failures import QueueUnavailable
from telemetry import tracing

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


class _Said(NamedTuple):
    """What is written down of a line: its tasks, or its failure; and how long to wait, for the limits per minute."""

    row: dict[str, Any]
    pause_s: float = 0.0

    @property
    def is_failure(self) -> bool:
        return "failure" in self.row


class _Read(NamedTuple):
    """A line that may be submitted."""

    line: Row
    work: Work


async def feed(context: Context, batch: Row) -> float:
    """Submit the next lines; returns for how many seconds no more may be."""
    while batch["expires_at"].timestamp() > time.time():
        said = await _submit_some(context, batch)
        pause_s = max((one.pause_s for one in said), default=0.0)
        if pause_s or not any(isinstance(one, _Said) and one.is_failure for one in said):
            return pause_s
    return AGAIN_S


async def _submit_some(context: Context, batch: Row) -> list[_Said | _Later]:
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
    read = await asyncio.gather(*(_read(asker, batch, *line) for line in zip(rows, bodies, strict=True)))
    said: list[_Said | _Later] = [one for one in read if not isinstance(one, _Read)]
    if not isinstance(asker, Problem):
        works = [one for one in read if isinstance(one, _Read)]
        free = rows[0]["room"]
        fits = fitting(
            [len(one.work.requests) for one in works], free=free, at_once=at_once, is_first=not rows[0]["under_way"]
        )
        said += await asyncio.gather(*(_submit(asker, batch, one) for one in works[:fits]))
    noted = [one.row for one in said if isinstance(one, _Said)]
    if noted:
        await context.db.run(statements.SUBMITTED, msgspec.json.encode(noted).decode())
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


async def _read(asker: Asker | Problem, batch: Row, line: Row, data: bytes) -> _Read | _Said | _Later:
    """What the line asks for, by its endpoint's own reader."""
    name = shown(LINE, line["id"])
    try:
        if isinstance(asker, Problem):
            raise asker
        work = await ENDPOINTS[batch["endpoint"]].work(asker, body_of(data), name)
        most = most_together(asker.principal, pool_max_waiting=work.agent.pool_max_waiting)
        if most is not None and len(work.requests) > most:
            message = f"This asks for {len(work.requests)} tasks at once, and {most} may wait at most; ask for fewer."
            raise Problem(429, "too_many_tasks", message)
        for field in work.requests[0].metadata.keys() & {"batch", "custom_id"}:
            raise bad_field(f"metadata.{field}", "is set by the batch; call yours otherwise")
    except QueueUnavailable:
        return _Later(AGAIN_S)
    except Problem as problem:
        return _refused(line, problem)
    return _Read(line, work)


async def _submit(asker: Asker, batch: Row, read: _Read) -> _Said | _Later:
    work = read.work
    of_batch = {"batch": shown(BATCH, batch["id"]), "custom_id": read.line["custom_id"]}
    requests = [
        msgspec.structs.replace(
            request, priority=PRIORITY, deadline_at=batch["expires_at"], metadata={**request.metadata, **of_batch}
        )
        for request in work.requests
    ]
    try:
        with work.naming, tracing.begun("batch line", **{"opsite.batch": shown(BATCH, batch["id"])}):
            submitted = await submit_together(
                asker.context, asker.principal, work.agent, requests, response=work.response
            )
        tasks, headers = [one.task for one in submitted], submitted[0].headers
    except QueueUnavailable:
        return _Later(AGAIN_S)
    except Problem as problem:
        if problem.code != "idempotency_key_reused":
            return _refused(read.line, problem)
        tasks, headers = await _made_before(asker, requests), {}
    row = {"id": read.line["id"], "task": tasks[0], "further": tasks[1:], "model": work.model, "asked": work.asked}
    return _Said(row, min(AGAIN_MAX_S, pause_s(headers)))


async def _made_before(asker: Asker, requests: Sequence[TaskRequest]) -> list[uuid.UUID]:
    """The tasks that a process made that died before it had noted them, when the request was read otherwise: its agent, whose seed
    or limit it goes by, was edited since. A line's key is nobody else's.
    """
    keys = [by.key for by in idempotency(requests, agent="")]
    found = await asker.context.db.all(statements.TASKS_BY_KEY, asker.principal.tenant, keys)
    return [row["id"] for row in sorted(found, key=lambda row: keys.index(row["idempotency_key"]))]


def _refused(line: Row, problem: Problem) -> _Said | _Later:
    if problem.status == 503 or problem.code in LATER or any(one.field == "deadline_at" for one in problem.errors):
        return _Later(min(AGAIN_MAX_S, problem.retry_after_s or AGAIN_S))
    return _Said({"id": line["id"], "failure": refused(shown(LINE, line["id"]), problem)})
