"""The sweep: accepted tasks that Redis has lost (a crash between commit and enqueue, an emptied Redis) are enqueued again.

Redis is asked first and Postgres again after: a task whose outcome was recorded in between is unknown to Redis too, but by then
Postgres shows it as ended, since a record is committed before it is acknowledged.
"""

from __future__ import annotations

import logging
import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec
import psycopg
from psycopg.rows import dict_row

from agents.lifecycle import OPEN, OUTCOMES, TaskState
from agents.submissions import body_of, submission
from agents.summaries import Plan, summary_body
from taskqueue.async_client import AsyncQueue
from taskqueue.messages import Submission

log = logging.getLogger(__name__)

GRACE_S = 5.0
"""Younger tasks are still on their way."""
PAGE = 1000
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

_OUTCOMES = ", ".join(f"'{state}'" for state in sorted(OUTCOMES))

# Spelled as the partial index `task_open` is, so that it serves.
CANDIDATES = f"""
    SELECT t.id, t.created_at, u.id AS turn, p.slug AS pool FROM agents_task t
    JOIN agents_turn u ON u.task_id = t.id AND u.state <> ALL(%(outcomes)s)
    JOIN orchestrator_pool p ON p.id = t.pool_id
    WHERE t.state NOT IN ({_OUTCOMES}) AND t.created_at < now() - make_interval(secs => %(grace)s)
      AND (t.created_at, t.id) > (%(after)s::timestamptz, %(after_id)s::uuid)
    ORDER BY t.created_at, t.id LIMIT %(limit)s
"""

STILL_OPEN = """
    SELECT t.id, u.id AS turn, u.summarises, p.slug AS pool, t.tenant_id, n.weight, n.max_running,
           coalesce(t.api_key_id::text, '') AS key, coalesce(k.max_running, 0) AS key_max_running, t.params, t.options,
           t.output_form, u.allowance, t.priority, t.trace,
           CASE WHEN jsonb_typeof(t.input) = 'string' THEN t.input ELSE t.input || coalesce((
                SELECT jsonb_agg(m.value ORDER BY v.number, m.ordinality) FROM agents_turn v
                CROSS JOIN LATERAL jsonb_array_elements(v.context) WITH ORDINALITY m
                WHERE v.task_id = t.id AND v.number <= u.number), '[]'::jsonb) END AS input,
           (extract(epoch FROM t.deadline_at) * 1000)::bigint AS deadline_ms, l.tokens AS answer_tokens
    FROM agents_task t
    JOIN agents_turn u ON u.task_id = t.id AND u.state = ANY(%(open)s)
    JOIN orchestrator_pool p ON p.id = t.pool_id
    JOIN tenants_tenant n ON n.id = t.tenant_id
    LEFT JOIN tenants_apikey k ON k.id = t.api_key_id
    LEFT JOIN agents_answerlength l ON l.agent_id = t.agent_id
    WHERE t.state = ANY(%(open)s) AND u.id = ANY(%(turns)s)
"""


class Sweep:
    """Finds and repairs; keeps one queue client per pool."""

    def __init__(self, redis_url: str) -> None:
        self._redis_url = redis_url
        self._queues: dict[str, AsyncQueue] = {}

    async def aclose(self) -> None:
        """Close the connections."""
        for queue in self._queues.values():
            await queue.aclose()

    async def once(self, connection: psycopg.AsyncConnection, *, grace_s: float = GRACE_S) -> int:
        """One pass over all open tasks older than `grace_s`; returns how many were enqueued again."""
        cursor = connection.cursor(row_factory=dict_row)
        after, after_id, returned = _BEGINNING, uuid.UUID(int=0), 0
        while True:
            await cursor.execute(
                CANDIDATES,
                {
                    "outcomes": sorted(OUTCOMES),
                    "grace": grace_s,
                    "after": after,
                    "after_id": after_id,
                    "limit": PAGE,
                },
            )
            page = await cursor.fetchall()
            by_pool: dict[str, list[str]] = {}
            for row in page:
                by_pool.setdefault(row["pool"], []).append(str(row["turn"]))
            for pool, turns in by_pool.items():
                returned += await self._bring_back(cursor, pool, turns)
            if len(page) < PAGE:
                return returned
            after, after_id = page[-1]["created_at"], page[-1]["id"]

    async def _bring_back(self, cursor: psycopg.AsyncCursor[dict[str, Any]], pool: str, turns: list[str]) -> int:
        queue = self._queue(pool)
        known = await queue.known(turns)
        missing = [turn for turn, is_known in zip(turns, known, strict=True) if not is_known]
        if not missing:
            return 0
        await cursor.execute(STILL_OPEN, {"open": sorted(OPEN - {TaskState.WAITING}), "turns": missing})
        lost = [_submission(row) for row in await cursor.fetchall()]
        await queue.restart([one.task for one in lost])
        await queue.enqueue(lost)
        if lost:
            log.warning("pool %s: %d accepted tasks were unknown to Redis and are enqueued again", pool, len(lost))
        return len(lost)

    def _queue(self, pool: str) -> AsyncQueue:
        if pool not in self._queues:
            self._queues[pool] = AsyncQueue(self._redis_url, pool)
        return self._queues[pool]


def _submission(row: dict[str, Any]) -> Submission:
    body = body_of(
        row["input"], row["params"], row["options"], output_form=row["output_form"], allowance=row["allowance"]
    )
    if row["summarises"] is not None:
        body = summary_body(body, msgspec.convert(row["summarises"], Plan))
    return submission(
        turn=str(row["turn"]),
        task=str(row["id"]),
        tenant=str(row["tenant_id"]),
        key=row["key"],
        body=body,
        weight=row["weight"],
        max_running=row["max_running"],
        key_max_running=row["key_max_running"],
        priority=row["priority"],
        deadline_ms=row["deadline_ms"] or 0,
        answer_tokens=row["answer_tokens"],
        trace=row["trace"],
    )
