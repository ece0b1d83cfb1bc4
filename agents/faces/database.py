"""Every statement of the hot routes. Each takes the tenant; none is run on a thread.

Tables and columns are those of the Django models; the tests hold them together.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import psycopg
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from agents.announcing import ENDED_COLUMNS, announcing
from agents.branches import Busy, Moved
from agents.faces.placing import LOCK, Waiting, place, write
from agents.lifecycle import OPEN, TaskState
from agents.message_paths import STEP
from agents.postgres import with_settings
from agents.problems import unavailable

Row = dict[str, Any]
Connection = psycopg.AsyncConnection[Row]

_PRINCIPAL = """
    SELECT k.id AS key, t.id AS tenant, k.scopes, t.weight, t.max_waiting, t.max_running, t.cancel_on_disconnect, k.expires_at,
           k.max_waiting AS key_max_waiting, k.max_running AS key_max_running,
           t.budget_spent_until, k.budget_spent_until AS key_budget_spent_until,
           ARRAY[t.requests_per_minute, t.tokens_per_minute, t.tokens_per_month] AS limits,
           ARRAY[k.requests_per_minute, k.tokens_per_minute, k.tokens_per_month] AS key_limits
    FROM tenants_apikey k JOIN tenants_tenant t ON t.id = k.tenant_id
    WHERE k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now()) AND t.is_active
"""
PRINCIPAL = _PRINCIPAL + " AND k.digest = %s"
PRINCIPAL_OF_KEY = _PRINCIPAL + " AND k.id = %s"
# The tenant itself, in whose name its staff or ours asks from the console: no key, so none of a key's limits.
PRINCIPAL_OF_TENANT = """
    SELECT NULL::uuid AS key, id AS tenant, ARRAY[]::text[] AS scopes, weight, max_waiting, max_running, cancel_on_disconnect,
           NULL::timestamptz AS expires_at, 0 AS key_max_waiting, 0 AS key_max_running, budget_spent_until,
           NULL::timestamptz AS key_budget_spent_until,
           ARRAY[requests_per_minute, tokens_per_minute, tokens_per_month] AS limits, ARRAY[0, 0, 0] AS key_limits
    FROM tenants_tenant WHERE id = %s AND is_active
"""

NOTE_USE = """
    UPDATE tenants_apikey SET last_used_at = now()
    WHERE id = %s AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
"""

_AGENT = """
    SELECT a.id, a.slug, r.id AS revision, r.number, r.system_prompt, r.params, r.tools, r.output_form, r.context,
           p.id AS pool_id, p.slug AS pool, p.engine, p.default_params, p.max_waiting AS pool_max_waiting,
           l.tokens AS answer_tokens, p.token_prices, (r.limits->>'max_cost')::numeric AS max_cost, {percent} AS percent
    FROM agents_agent a {joins}
    JOIN orchestrator_pool p ON p.id = r.pool_id
    LEFT JOIN agents_answerlength l ON l.agent_id = a.id
    WHERE a.tenant_id = %s AND a.archived_at IS NULL AND a.slug = %s
"""
# A row for each revision that new tasks may get, as the last publication says, the earliest first.
AGENT = _AGENT.format(
    percent="coalesce(s.percent, 100)",
    joins="""
    LEFT JOIN LATERAL (SELECT id FROM agents_publication WHERE agent_id = a.id ORDER BY number DESC LIMIT 1) n ON true
    LEFT JOIN agents_trafficshare s ON s.publication_id = n.id
    JOIN agents_agentrevision r ON r.id = coalesce(s.revision_id, a.current_revision_id)""",
) + " ORDER BY r.number"  # fmt: skip
AGENT_REVISION = (
    _AGENT.format(percent="100", joins="JOIN agents_agentrevision r ON r.agent_id = a.id") + " AND r.number = %s"
)
TOOLS = "SELECT name, description, parameters FROM agents_tool WHERE tenant_id = %s AND name = ANY(%s)"
AGENTS = """
    SELECT slug, created_at FROM agents_agent
    WHERE tenant_id = %s AND archived_at IS NULL AND current_revision_id IS NOT NULL AND stands_for_id IS NULL ORDER BY slug
"""
POOLS = "SELECT slug, created_at FROM orchestrator_pool WHERE tenant_id IS NULL OR tenant_id = %s ORDER BY slug"

# The branch that ends at the head, or at another message (`after`), or none of it (`anew`). With the revision of an agent that the
# conversation's last task had: by an aggregate, so that tasks are found by conversation.
HISTORY = f"""
    WITH RECURSIVE start AS (
        SELECT c.id, c.when_busy, a.id AS found, a.role, a.parent_number AS parent,
               CASE WHEN %(anew)s THEN NULL WHEN %(after)s::uuid IS NULL THEN c.head_number ELSE a.number END AS number
        FROM agents_conversation c LEFT JOIN agents_message a ON a.conversation_id = c.id AND a.id = %(after)s::uuid
        WHERE c.tenant_id = %(tenant)s AND c.id = %(conversation)s
    ), path AS (
        SELECT m.number, m.parent_number FROM start s JOIN agents_message m ON m.conversation_id = s.id AND m.number = s.number
        UNION ALL
        SELECT m.number, m.parent_number FROM path p CROSS JOIN LATERAL ({STEP}) m
    )
    SELECT s.id, s.number, s.found, s.role, s.parent,
           (SELECT (array_agg(t.revision_id ORDER BY t.id DESC))[1] FROM agents_task t
            WHERE t.conversation_id = s.id AND t.agent_id = %(agent)s) AS revision,
           (SELECT coalesce(jsonb_agg(
                       jsonb_build_object('id', m.id, 'role', m.role, 'content', m.content) ORDER BY m.number), '[]'::jsonb)
            FROM path p JOIN agents_message m ON m.conversation_id = s.id AND m.number = p.number) AS messages
    FROM start s
"""

# What was written for earlier tasks, and what the pool's last answer on this branch (`ids`: its messages) came to: another's model
# counts otherwise, and another branch is not sent.
SUMMARIES = "SELECT last_message_id AS last, text FROM agents_summary WHERE tenant_id = %s AND conversation_id = %s"
LAST_ANSWER = """
    SELECT u.prompt_tokens, u.completion_tokens, u.context_use
    FROM agents_message m JOIN agents_task t ON t.id = m.task_id JOIN agents_turn u ON u.task_id = t.id
    WHERE m.tenant_id = %s AND m.conversation_id = %s AND m.id = ANY(%s::uuid[]) AND m.role = 'assistant' AND t.pool_id = %s
      AND t.state = 'succeeded' AND u.summarises IS NULL
    ORDER BY m.number DESC, u.number DESC LIMIT 1
"""

TASK = """
    SELECT t.id, a.slug AS agent, r.number AS revision, p.slug AS pool, t.conversation_id AS conversation, t.state,
           t.params, t.priority, t.deadline_at, t.metadata, t.output, t.logprobs, t.tool_calls, t.finish_reason, t.error,
           t.prompt_tokens, t.completion_tokens, t.cached_tokens, t.attempts, t.rerun_of_id AS rerun_of, t.created_at, t.started_at,
           t.first_token_at, t.finished_at, t.idempotency_digest, u.id AS turn, t.context_use, t.options
    FROM agents_task t
    JOIN agents_agent a ON a.id = t.agent_id JOIN agents_agentrevision r ON r.id = t.revision_id
    JOIN orchestrator_pool p ON p.id = t.pool_id
    JOIN LATERAL (SELECT id FROM agents_turn WHERE task_id = t.id ORDER BY number DESC LIMIT 1) u ON true
    WHERE t.tenant_id = %s
"""
TASK_BY_ID = TASK + " AND t.id = %s"

RESPONSE = """
    SELECT t.id, t.state, t.input, t.params, t.metadata, t.output, t.tool_calls, t.finish_reason, t.error, t.prompt_tokens,
           t.completion_tokens, t.cached_tokens, t.conversation_id AS conversation, t.created_at, t.finished_at, p.slug AS pool,
           s.model, s.previous_id AS previous, s.instructions, s.background, s.preface, s.said, s.asked, t.options
    FROM agents_storedresponse s
    JOIN agents_task t ON t.id = s.task_id JOIN orchestrator_pool p ON p.id = t.pool_id
    WHERE s.tenant_id = %s AND s.task_id = %s
"""
DELETE_RESPONSE = "DELETE FROM agents_storedresponse WHERE tenant_id = %s AND task_id = %s"

IDEMPOTENCY_FOR = "interval '24 hours'"
TASK_BY_IDEMPOTENCY_KEY = TASK + f" AND t.idempotency_key = %s AND t.created_at > now() - {IDEMPOTENCY_FOR}"

# The unique constraint holds a key for ever, so one that is over is taken from its task when it is met again. Never a younger one:
# of many who release it and try again, one is accepted.
RELEASE_KEYS = f"""
    WITH over AS (
        SELECT t.id, t.tenant_id AS tenant, t.idempotency_key
        FROM jsonb_to_recordset(%s::jsonb) AS x(tenant uuid, idempotency_key text)
        JOIN agents_task t ON t.tenant_id = x.tenant AND t.idempotency_key = x.idempotency_key
        WHERE t.created_at <= now() - {IDEMPOTENCY_FOR}
        ORDER BY t.id FOR UPDATE OF t
    )
    UPDATE agents_task t SET idempotency_key = NULL FROM over o WHERE t.id = o.id RETURNING o.tenant, o.idempotency_key
"""

TOKENS_OF_MONTH = """
    SELECT coalesce(sum(CASE WHEN finished_at IS NULL THEN estimated_tokens ELSE prompt_tokens + completion_tokens END), 0)::bigint
        AS total
    FROM agents_task
    WHERE tenant_id = %s AND created_at >= %s AND created_at < %s AND (%s::uuid IS NULL OR api_key_id = %s::uuid)
"""

ACCEPT = """
    WITH rows AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(%s::jsonb) AS x(
            id uuid, turn uuid, tenant uuid, agent uuid, revision uuid, pool uuid, conversation uuid, api_key uuid, input jsonb,
            params jsonb, options jsonb, output_form text, parent_call uuid, priority int, deadline_at timestamptz, metadata jsonb,
            idempotency_key text, idempotency_digest text, estimated_tokens int, waits bool, response jsonb,
            allowance jsonb, summarises jsonb, trace text, submitted_by text)
    ), accepted AS (
        INSERT INTO agents_task (id, tenant_id, agent_id, revision_id, pool_id, conversation_id, api_key_id, state, input, params,
            options, output_form, parent_call_id, priority, deadline_at, metadata, idempotency_key, idempotency_digest,
            estimated_tokens, submitted_by, output, finish_reason, prompt_tokens, completion_tokens, attempts, trace, created_at)
        SELECT id, tenant, agent, revision, pool, conversation, api_key, CASE WHEN waits THEN 'waiting' ELSE 'queued' END, input,
            params, options, output_form, parent_call, priority, deadline_at, metadata, idempotency_key, idempotency_digest,
            estimated_tokens, submitted_by, '', '', 0, 0, 0, coalesce(trace, ''), now()
        FROM rows ON CONFLICT (tenant_id, idempotency_key) DO NOTHING
        RETURNING id, created_at
    ), turns AS (
        INSERT INTO agents_turn (id, tenant_id, task_id, number, state, attempts, worker, context, output, prompt_tokens,
            completion_tokens, summarises, created_at, queued_at, allowance)
        SELECT r.turn, r.tenant, r.id, 1, CASE WHEN r.waits THEN 'waiting' ELSE 'queued' END, 0, '', '[]'::jsonb, '', 0, 0,
            CASE WHEN r.waits THEN NULL ELSE r.summarises END, a.created_at, a.created_at, r.allowance
        FROM rows r JOIN accepted a ON a.id = r.id
    ), stored AS (
        INSERT INTO agents_storedresponse (task_id, tenant_id, model, previous_id, instructions, background, preface, said, asked)
        SELECT r.id, r.tenant, s.model, s.previous, s.instructions, s.background, s.preface, s.said, s.asked
        FROM rows r JOIN accepted a ON a.id = r.id
        CROSS JOIN LATERAL jsonb_to_record(r.response) AS s(
            model text, previous uuid, instructions text, background boolean, preface int, said int, asked jsonb)
        WHERE r.response IS NOT NULL
    )
    SELECT id, created_at FROM accepted
"""

# A call that waits for another task is not a person's to answer.
ANSWER_CALL = """
    UPDATE agents_toolcall c SET state = 'succeeded', result = %s, finished_at = now()
    WHERE c.tenant_id = %s AND c.task_id = %s AND c.call_id = %s AND c.state = 'waiting' AND c.name = 'ask_human' RETURNING c.name
"""

# Whatever the state: of tasks that were to be accepted together one may have been claimed before another was refused.
# Conversations first, in the order in which others lock them. What one of these was to have ended runs on, unless a later one of
# its line is left, which may have it ended, too. A message that another one follows by now stays, as nobody's.
WITHDRAW = [
    """SELECT c.id FROM agents_conversation c WHERE c.id IN (SELECT conversation_id FROM agents_reply WHERE task_id = ANY(%s))
       ORDER BY c.id FOR UPDATE""",
    """WITH gone AS (SELECT task_id, line, number FROM agents_reply WHERE task_id = ANY(%s) AND question_number IS NULL)
       UPDATE agents_reply r SET superseded = '' FROM gone g
       WHERE r.line = g.line AND r.number < g.number AND r.superseded <> '' AND NOT r.over AND NOT EXISTS (
           SELECT 1 FROM agents_reply l WHERE l.line = r.line AND l.number > r.number
             AND l.task_id NOT IN (SELECT task_id FROM gone))""",
    """UPDATE agents_conversation c SET head_number = r.after_number FROM agents_reply r
       WHERE r.task_id = ANY(%s) AND c.id = r.conversation_id AND c.head_number = r.question_number
         AND EXISTS (SELECT 1 FROM agents_message m WHERE m.task_id = r.task_id)""",
    "DELETE FROM agents_reply WHERE task_id = ANY(%s)",
    """UPDATE agents_message m SET task_id = NULL WHERE m.task_id = ANY(%s) AND EXISTS (
           SELECT 1 FROM agents_message c WHERE c.conversation_id = m.conversation_id AND c.parent_number = m.number
             AND c.task_id IS DISTINCT FROM m.task_id)""",
    "DELETE FROM agents_message WHERE task_id = ANY(%s)",
    "DELETE FROM agents_turn WHERE task_id = ANY(%s)",
    "DELETE FROM agents_storedresponse WHERE task_id = ANY(%s)",
    "DELETE FROM agents_task WHERE id = ANY(%s)",
]

CANCEL_UNKNOWN = f"""
    WITH ended AS (
        UPDATE agents_task t SET state = 'cancelled', finished_at = now()
        WHERE tenant_id = %s AND id = %s AND state = ANY(%s) RETURNING {ENDED_COLUMNS}
    ), announced AS ({announcing("ended")})
    UPDATE agents_turn SET state = 'cancelled', finished_at = now() WHERE task_id IN (SELECT id FROM ended)
"""


class Committed(NamedTuple):
    """What became of tasks: when they were made (those that are new), which of them wait, and why others were refused."""

    created: dict[uuid.UUID, Any]
    waiting: dict[uuid.UUID, Waiting]
    refused: dict[uuid.UUID, Busy | Moved]


async def _accept(
    connection: psycopg.AsyncConnection[Row], rows: list[Row], conversations: list[uuid.UUID]
) -> Committed:
    if not conversations:
        return Committed(await _insert(connection, rows), {}, {})
    async with connection.transaction():
        placed = await place(connection, rows, conversations)
        created = await _insert(connection, placed.rows)
        return Committed(created, await write(connection, placed, created), placed.refused)


async def _insert(connection: psycopg.AsyncConnection[Row], rows: list[Row]) -> dict[uuid.UUID, Any]:
    accepted = await (await connection.execute(ACCEPT, [msgspec.json.encode(rows).decode()])).fetchall()
    return {row["id"]: row["created_at"] for row in accepted}


class Database:
    """A few connections to Postgres (`connections` at most); what they cannot do is a `Problem` 503."""

    def __init__(self, url: str, *, connections: int = 8) -> None:
        self._url = url
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[Row]] = AsyncConnectionPool(
            # Few statements, asked very often: plan each once. Planning `ACCEPT` anew, or compiling it, costs more than it.
            with_settings(url, plan_cache_mode="force_generic_plan", jit="off"),
            min_size=1,
            max_size=connections,
            open=False,
            timeout=5.0,
            reconnect_timeout=5.0,
            kwargs={"autocommit": True, "row_factory": dict_row, "prepare_threshold": 1},
        )

    async def connect(self) -> psycopg.AsyncConnection[Any]:
        """A connection of one's own, outside the pool; psycopg's errors pass."""
        return await psycopg.AsyncConnection.connect(self._url, autocommit=True)

    async def open(self) -> None:
        """Begin to connect; does not wait."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """End the connections."""
        await self._pool.close()

    @asynccontextmanager
    async def connection(self, *, timeout_s: float = 5.0) -> AsyncIterator[psycopg.AsyncConnection[Row]]:
        """A connection; Postgres being away is a 503."""
        try:
            async with self._pool.connection(timeout=timeout_s) as connection:
                yield connection
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise unavailable("The database") from error

    async def one(self, statement: str, *arguments: Any, timeout_s: float = 5.0) -> Row | None:
        """The first row."""
        async with self.connection(timeout_s=timeout_s) as connection:
            return await (await connection.execute(statement, arguments)).fetchone()

    async def all(self, statement: str, *arguments: Any, **named: Any) -> list[Row]:
        """All rows; of a statement with positions or with names."""
        async with self.connection() as connection:
            return await (await connection.execute(statement, named or arguments)).fetchall()

    async def run(self, statement: str, *arguments: Any) -> None:
        """A statement without an answer."""
        async with self.connection() as connection:
            await connection.execute(statement, arguments)

    async def accept(self, rows: list[Row], conversations: list[uuid.UUID]) -> Committed:
        """Commit tasks with their turns and messages: those that are new (no idempotency key met) and have a place."""
        async with self.connection() as connection:
            committed = await _accept(connection, rows, conversations)
            met = [row for row in rows if row["id"] not in committed.created and row["id"] not in committed.refused]
            if met:
                # In one transaction: who meets the key at the same time waits for what becomes of it.
                async with connection.transaction():
                    if conversations:
                        await connection.execute(LOCK, [conversations])
                    cursor = await connection.execute(RELEASE_KEYS, [msgspec.json.encode(met).decode()])
                    released = {(row["tenant"], row["idempotency_key"]) for row in await cursor.fetchall()}
                    again = [row for row in met if (row["tenant"], row["idempotency_key"]) in released]
                    if again:
                        more = await _accept(connection, again, conversations)
                        committed = Committed(
                            committed.created | more.created,
                            committed.waiting | more.waiting,
                            committed.refused | more.refused,
                        )
        return committed

    async def tokens_of_month(self, tenant: uuid.UUID, key: uuid.UUID | None, *, start: datetime, end: datetime) -> int:
        """Tokens of the tasks that were submitted in that time (by that key): served, or as reserved if they have not ended."""
        row = await self.one(TOKENS_OF_MONTH, tenant, start, end, key, key)
        return 0 if row is None else int(row["total"])

    async def withdraw(self, tasks: list[uuid.UUID]) -> None:
        """Undo an acceptance that nobody was told of."""
        async with self.connection() as connection, connection.transaction():
            for statement in WITHDRAW:
                await connection.execute(statement, [tasks])

    async def cancel_unknown(self, tenant: uuid.UUID, task: uuid.UUID) -> None:
        """End a task that Redis does not know; one that was recorded meanwhile is left alone."""
        await self.run(CANCEL_UNKNOWN, tenant, task, sorted(OPEN - {TaskState.WAITING}))
