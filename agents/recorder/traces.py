"""The spans of tasks that have ended, from their rows: whoever ended a task tells of all of it, once, when all is known.

A recorder that is killed reads its batch again, and tells of the same spans again: their ids are made of what they tell of.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from telemetry.context import Trace
from telemetry.exporting import Ended, Read
from telemetry.otel import Tracing
from telemetry.timeline import spans_of

_TASKS = """
    SELECT t.id, t.tenant_id AS tenant, t.trace, t.agent_id, a.slug AS agent, r.number AS revision, p.slug AS pool, p.engine,
           p.model, t.state, t.error->>'code' AS error, t.finish_reason, t.conversation_id AS conversation, t.params,
           t.prompt_tokens, t.completion_tokens, t.cached_tokens, t.created_at, t.finished_at,
           CASE WHEN t.options ? 'embed' THEN 'embed' WHEN jsonb_typeof(t.input) = 'string' THEN 'prompt' ELSE 'messages' END
               AS given
    FROM agents_task t JOIN agents_agent a ON a.id = t.agent_id JOIN agents_agentrevision r ON r.id = t.revision_id
    JOIN orchestrator_pool p ON p.id = t.pool_id
    WHERE t.id = ANY(%s::uuid[]) AND t.finished_at IS NOT NULL AND substr(t.trace, 54, 2) = '01'
"""
_TURNS = """
    SELECT u.id, u.task_id AS task, u.number, u.state, u.attempts, u.worker, u.prompt_tokens, u.completion_tokens, u.cached_tokens,
           u.attempt_log, u.summarises IS NOT NULL AS summarises, u.queued_at, u.claimed_at, u.first_token_at, u.finished_at,
           EXISTS (SELECT 1 FROM agents_toolcall c WHERE c.turn_id = u.id) AS calls
    FROM agents_turn u WHERE u.task_id = ANY(%s::uuid[]) ORDER BY u.task_id, u.number
"""
_CALLS = """
    SELECT id, task_id AS task, turn_id AS turn, call_id, name, state, attempts, created_at, started_at, finished_at
    FROM agents_toolcall WHERE task_id = ANY(%s::uuid[]) ORDER BY task_id, created_at, number
"""

Connect = Callable[[], Awaitable[AsyncConnection[Any]]]
Rows = defaultdict[uuid.UUID, list[dict[str, Any]]]


def reader(tracing: Tracing, connect: Connect) -> Read:
    """Reads spans by a connection of its own for each batch: what goes wrong there is nobody else's trouble."""

    async def read(ended: Sequence[Ended]) -> list[Any]:
        committed = {one.task: one.committed_ns for one in ended}
        async with await connect() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            tasks = await (await cursor.execute(_TASKS, [list(committed)])).fetchall()
            if not tasks:
                return []
            ids = [[task["id"] for task in tasks]]
            turns: Rows = defaultdict(list)
            calls: Rows = defaultdict(list)
            for found, statement in ((turns, _TURNS), (calls, _CALLS)):
                for row in await (await cursor.execute(statement, ids)).fetchall():
                    found[row["task"]].append(row)
        spans = []
        for task in tasks:
            if (trace := Trace.parse(task["trace"])) is None:
                continue
            at = committed.get(str(task["id"]), 0)
            told = spans_of(task, turns[task["id"]], calls[task["id"]], trace=trace, committed_ns=at)
            spans += [tracing.readable(span, trace) for span in told]
        return spans

    return read
