"""Carries comparisons out: a chore that any number of processes may run, and that may be killed anywhere.

A comparison has few tasks open at a time, at the lowest priority, so that it neither fills its tenant's line nor goes before the
tenant's other work. Each run is submitted under an idempotency key of its own: whoever comes again finds the task that there is.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from contextlib import suppress
from typing import Any

import msgspec

from agents.faces.context import Context
from agents.faces.database import Row
from agents.faces.requests import TaskRequest, convert
from agents.faces.submit import submit
from agents.lifecycle import TaskState
from agents.problems import Problem, unavailable
from comparisons.checks import made, read
from comparisons.services import SUBMITS
from taskqueue.failures import QueueUnavailable
from telemetry import tracing

log = logging.getLogger(__name__)

POLL_S = 1.0
LEASE_S = 5.0
"""How long a killed process keeps others away. One that takes longer does no harm: whatever two do is done once."""
AGAIN_S = 1.0
WINDOW = 16
"""Tasks of one comparison that are open at a time."""
PRIORITY = 9
CLAIMED_MAX = 8

CLAIM = """
    UPDATE comparisons_comparison c SET lease_until = now() + make_interval(secs => %s)
    FROM (
        SELECT id FROM comparisons_comparison WHERE state = 'running' AND (lease_until IS NULL OR lease_until < now())
        ORDER BY lease_until NULLS FIRST LIMIT %s FOR UPDATE SKIP LOCKED
    ) claimed, agents_agent a, agents_agentrevision l, agents_agentrevision r, comparisons_inputset i
    WHERE c.id = claimed.id AND a.id = c.agent_id AND l.id = c.left_id AND r.id = c.right_id AND i.id = c.input_set_id
    RETURNING c.id, c.tenant_id AS tenant, c.api_key_id AS key, a.slug, l.number AS left, r.number AS right, i.items
"""
OPEN_RUNS = """
    SELECT u.id, u.number, u.side, u.task_id AS task, t.state, t.output, t.finished_at
    FROM comparisons_comparisonrun u LEFT JOIN agents_task t ON t.id = u.task_id
    WHERE u.tenant_id = %s AND u.comparison_id = %s AND u.judged_at IS NULL
    ORDER BY u.task_id IS NULL, u.number, u.side LIMIT %s
"""
SUBMITTED = "UPDATE comparisons_comparisonrun SET task_id = %s WHERE id = %s AND tenant_id = %s"
JUDGED = """
    UPDATE comparisons_comparisonrun SET checks = %s::jsonb, error = %s::jsonb, judged_at = now()
    WHERE id = %s AND tenant_id = %s AND judged_at IS NULL
"""
LATER = """
    UPDATE comparisons_comparison SET lease_until = now() + make_interval(secs => %s), held_up_by = %s::jsonb
    WHERE id = %s AND tenant_id = %s AND state = 'running'
"""
DONE = """
    UPDATE comparisons_comparison SET state = 'done', finished_at = now(), lease_until = NULL, held_up_by = NULL
    WHERE id = %s AND tenant_id = %s AND state = 'running'
"""
FIND = "SELECT id FROM agents_task WHERE tenant_id = %s AND idempotency_key = %s"


async def run_comparisons(context: Context, stop: asyncio.Event) -> None:
    """Claim and carry out until `stop` is set."""
    while not stop.is_set():
        claimed = await context.db.all(CLAIM, LEASE_S, CLAIMED_MAX)
        await asyncio.gather(*(_advance(context, row) for row in claimed))
        if not claimed:
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), POLL_S)


async def _advance(context: Context, row: Row) -> None:
    """Judge what has ended, submit what has a place, and say when to look again."""
    runs = await context.db.all(OPEN_RUNS, row["tenant"], row["id"], WINDOW)
    if not runs:
        await context.db.run(DONE, row["id"], row["tenant"])
        return
    held_up: str | None = None
    wait_s = AGAIN_S
    for run in runs:
        if run["finished_at"] is not None:
            await _judge(context, row, run)
        elif run["task"] is None and held_up is None:
            try:
                await _submit(context, row, run)
            except Problem as problem:
                held_up, wait_s = _error(problem), max(AGAIN_S, min(problem.retry_after_s or 0, LEASE_S))
            except QueueUnavailable:
                held_up = _error(unavailable("The queue"))
            except Exception:
                log.exception("comparison %s: a task of it cannot be submitted", row["id"])
                held_up = _error(Problem(500, "internal", "Something went wrong on our side; the error was logged."))
                wait_s = LEASE_S
    await context.db.run(LATER, wait_s, held_up, row["id"], row["tenant"])


async def _judge(context: Context, row: Row, run: Row) -> None:
    answer = run["output"] if run["state"] == TaskState.SUCCEEDED else None
    checks = read(row["items"][run["number"] - 1]["checks"])
    found = await asyncio.to_thread(made, checks, answer)
    await context.db.run(JUDGED, msgspec.json.encode(found).decode(), None, run["id"], row["tenant"])


async def _submit(context: Context, row: Row, run: Row) -> None:
    """Submit one run; a `Problem` that passes is one to wait for, any other ends the run."""
    key = f"comparison:{row['id']}:{run['number']}:{run['side']}"
    try:
        task = await _task(context, row, run, key)
    except Problem as problem:
        if problem.status in (429, 503) or problem.retry_after_s is not None:
            raise
        found = made(read(row["items"][run["number"] - 1]["checks"]), None)
        await context.db.run(JUDGED, msgspec.json.encode(found).decode(), _error(problem), run["id"], row["tenant"])
    else:
        await context.db.run(SUBMITTED, task, run["id"], row["tenant"])


async def _task(context: Context, row: Row, run: Row, key: str) -> uuid.UUID:
    """The one task of that run, made now or before."""
    if (known := await context.db.one(FIND, row["tenant"], key)) is not None:
        return uuid.UUID(str(known["id"]))
    principal = await context.directory.principal_of(row["key"])
    principal.require(SUBMITS)
    asked: dict[str, Any] = {
        "agent": f"{row['slug']}@{row[run['side']]}",
        "messages": row["items"][run["number"] - 1]["messages"],
        "priority": PRIORITY,
        "metadata": {"comparison": str(row["id"]), "item": run["number"], "side": run["side"]},
        "idempotency_key": key,
    }
    with tracing.begun("comparison", **{"opsite.comparison": str(row["id"])}):
        return (await submit(context, principal, convert(asked, TaskRequest))).task


def _error(problem: Problem) -> str:
    return msgspec.json.encode({"code": problem.code, "message": problem.detail}).decode()
