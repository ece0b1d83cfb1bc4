"""Fires what is due: a chore that any number of processes may run, and that may be killed anywhere.

A due schedule is claimed for a while (`lease_until`). Each nominal time of it is submitted under an idempotency key made of the
schedule's id and that time, and noted after: whoever comes again for the same time, because the note was never made, finds the task
that there is. The note moves `next_at` on only from where the firing began, so a process that was away for long undoes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from contextlib import suppress
from datetime import datetime
from typing import Any

import msgspec

from agents.faces.context import Context
from agents.faces.database import Row
from agents.faces.requests import TaskRequest, convert
from agents.faces.submit import submit_to
from agents.problems import Problem, bad_field, unavailable
from schedules.services import SUBMITS
from schedules.timing import Due, due
from taskqueue.failures import QueueUnavailable
from telemetry import tracing
from tenants.identifiers import new_id

log = logging.getLogger(__name__)

POLL_S = 1.0
LEASE_S = 15.0
"""How long a killed process keeps others away. One that takes longer does no harm: whatever two do is done once."""
BATCH = 20
FAILURES_MAX = 5
"""Firings in a row that fail before the schedule is paused."""
RETRY_S = 5
RETRY_MAX_S = 60

CLAIM = """
    UPDATE schedules_schedule s SET lease_until = now() + make_interval(secs => %s)
    FROM (
        SELECT id FROM schedules_schedule
        WHERE is_enabled AND next_at <= now() AND (retry_at IS NULL OR retry_at <= now())
            AND (lease_until IS NULL OR lease_until < now())
        ORDER BY next_at LIMIT %s FOR UPDATE SKIP LOCKED
    ) claimed
    WHERE s.id = claimed.id
    RETURNING s.id, s.tenant_id AS tenant, s.api_key_id AS key, s.task, s.cron, s.time_zone, s.catch_up, s.overlap, s.next_at,
        s.failures, s.last_task_id AS last_task, now() AS now
"""
RELEASE = "UPDATE schedules_schedule SET lease_until = NULL WHERE id = %s AND tenant_id = %s"
PUT_OFF = """
    UPDATE schedules_schedule SET lease_until = NULL, last_error = %s::jsonb, retry_at = now() + make_interval(secs => %s)
    WHERE id = %s AND tenant_id = %s
"""
# Whatever has become of the schedule meanwhile, what was done is told; the rest is changed only if it still stands where it stood.
NOTE = """
    WITH noted AS (
        INSERT INTO schedules_firing (id, tenant_id, schedule_id, nominal_at, state, task_id, count, error, created_at)
        SELECT %(firing)s, s.tenant_id, s.id, %(nominal)s, %(state)s, %(task)s, %(count)s, %(error)s::jsonb, now()
        FROM schedules_schedule s WHERE s.id = %(schedule)s AND s.tenant_id = %(tenant)s
        ON CONFLICT (schedule_id, nominal_at) DO NOTHING
    )
    UPDATE schedules_schedule SET
        last_task_id = coalesce(%(task)s, last_task_id),
        last_at = CASE WHEN %(task)s::uuid IS NULL THEN last_at ELSE %(nominal)s END,
        last_error = %(error)s::jsonb, failures = %(failures)s, retry_at = NULL, is_enabled = %(goes_on)s,
        next_at = CASE WHEN %(goes_on)s THEN %(next)s::timestamptz END,
        paused_at = CASE WHEN %(goes_on)s THEN NULL ELSE now() END
    WHERE id = %(schedule)s AND tenant_id = %(tenant)s AND is_enabled AND next_at = %(was)s
"""
FIND = "SELECT id FROM agents_task WHERE tenant_id = %s AND idempotency_key = %s"
RUNS = "SELECT 1 FROM agents_task WHERE tenant_id = %s AND id = %s AND finished_at IS NULL"


async def fire_schedules(context: Context, stop: asyncio.Event) -> None:
    """Claim and fire until `stop` is set."""
    while not stop.is_set():
        claimed = await context.db.all(CLAIM, LEASE_S, BATCH)
        await asyncio.gather(*(_serve(context, row) for row in claimed))
        if not claimed:
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), POLL_S)


async def _serve(context: Context, row: Row) -> None:
    try:
        await Run(context, row).fire()
    except Problem as problem:  # nothing of the schedule's: the queue or the database is away, or a limit is reached
        await _put_off(context, row, problem)
    except QueueUnavailable:
        await _put_off(context, row, unavailable("The queue"))
    except Exception:
        log.exception("schedule %s cannot be fired", row["id"])
        await _put_off(
            context, row, Problem(500, "internal", "Something went wrong on our side; the error was logged.")
        )


async def _put_off(context: Context, row: Row, problem: Problem) -> None:
    wait_s = min(max(problem.retry_after_s or RETRY_S, RETRY_S), RETRY_MAX_S)
    log.warning("schedule %s is tried again in %d s: %s", row["id"], wait_s, problem.detail)
    await context.db.run(PUT_OFF, _error(problem), wait_s, row["id"], row["tenant"])


class Run:
    """One claim of a schedule: what is due of it now, one nominal time after the other."""

    def __init__(self, context: Context, row: Row) -> None:
        self._db, self._context, self._row = context.db, context, row
        self._stands: datetime = row["next_at"]
        self._last_task: uuid.UUID | None = row["last_task"]
        self._failures: int = row["failures"]

    async def fire(self) -> None:
        """Fire what is due; a `Problem` that passes is one to wait for."""
        row = self._row
        plan: Due = await asyncio.to_thread(
            due, row["cron"], row["time_zone"], next_at=self._stands, now=row["now"], catch_up=row["catch_up"]
        )
        after = [*plan.fire[1:], plan.next_at]
        if plan.missed_at is not None:
            following = plan.fire[0] if plan.fire else plan.next_at
            await self._note(plan.missed_at, "missed", following, count=plan.missed)
        for nominal, following in zip(plan.fire, after, strict=True):
            if not await self._fire_one(nominal, following):
                break
        await self._db.run(RELEASE, row["id"], row["tenant"])

    async def _fire_one(self, nominal: datetime, following: datetime | None) -> bool:
        """Whether the schedule goes on."""
        if self._row["overlap"] == "skip" and await self._last_one_runs():
            await self._note(nominal, "skipped", following)
            return True
        try:
            task = await self._submit(nominal)
        except Problem as problem:
            if problem.status in (429, 503) or problem.retry_after_s is not None:
                raise
            self._failures += 1
            await self._note(nominal, "failed", following, problem=problem)
            return self._failures < FAILURES_MAX
        self._failures, self._last_task = 0, task
        await self._note(nominal, "fired", following, task=task)
        return True

    async def _submit(self, nominal: datetime) -> uuid.UUID:
        """The one task of that nominal time, made now or before."""
        row, context = self._row, self._context
        key = f"schedule:{row['id']}:{nominal:%Y-%m-%dT%H:%M:%SZ}"
        # The key alone holds for a day; a process may come back after longer.
        if (known := await self._db.one(FIND, row["tenant"], key)) is not None:
            return uuid.UUID(str(known["id"]))
        principal = await context.directory.principal_of(row["key"])
        principal.require(SUBMITS)
        request = convert({**row["task"], "idempotency_key": key}, TaskRequest)
        agent = await context.directory.agent(row["tenant"], request.agent)
        if agent is None:
            raise bad_field("agent", f"there is no agent {request.agent!r}, or it is archived")
        with tracing.begun("schedule", **{"opsite.schedule": str(row["id"])}):
            return (await submit_to(context, principal, agent, request)).task

    async def _last_one_runs(self) -> bool:
        if self._last_task is None:
            return False
        return await self._db.one(RUNS, self._row["tenant"], self._last_task) is not None

    async def _note(
        self,
        nominal: datetime,
        state: str,
        following: datetime | None,
        *,
        task: uuid.UUID | None = None,
        count: int = 1,
        problem: Problem | None = None,
    ) -> None:
        goes_on = following is not None and self._failures < FAILURES_MAX
        arguments: dict[str, Any] = {
            "firing": new_id(),
            "schedule": self._row["id"],
            "tenant": self._row["tenant"],
            "nominal": nominal,
            "state": state,
            "task": task,
            "count": count,
            "error": _error(problem) if problem else None,
            "failures": self._failures,
            "goes_on": goes_on,
            "next": following,
            "was": self._stands,
        }
        async with self._db.connection() as connection:
            await connection.execute(NOTE, arguments)
        self._stands = following or self._stands


def _error(problem: Problem) -> str:
    return msgspec.json.encode({"code": problem.code, "message": problem.detail}).decode()
