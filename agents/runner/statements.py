"""What the runner asks of Postgres, in whose name all of it is kept. Each claim is committed before anything is called."""

from __future__ import annotations

from agents.announcing import ASK_HUMAN, announcing_waits
from agents.lifecycle import ENDED_CALLS, OUTCOMES

_ENDED = ", ".join(f"'{state}'" for state in sorted(ENDED_CALLS))
_OUTCOMES = ", ".join(f"'{state}'" for state in sorted(OUTCOMES))

HELD = "SELECT 1 FROM agents_reply h WHERE h.task_id = t.id AND h.question_number IS NULL"
"""Of a task that waits for its conversation, and not for tools."""
AT_ONCE_OF_ONE = 32
"""Calls of one tenant that are under way, in all processes together: one tenant's silent host must not hold everybody's."""

# Those tenants first that have the fewest calls under way. Who claims at the same time counts the same, so the bound is met nearly.
CLAIM = f"""
    WITH busy AS (
        SELECT tenant_id, count(*) AS calls FROM agents_toolcall WHERE state = 'running' GROUP BY tenant_id
    ), ranked AS (
        SELECT c.id, coalesce(b.calls, 0) + row_number() OVER (PARTITION BY c.tenant_id ORDER BY c.created_at, c.number) AS place
        FROM agents_toolcall c JOIN agents_task t ON t.id = c.task_id LEFT JOIN busy b ON b.tenant_id = c.tenant_id
        WHERE c.state NOT IN ({_ENDED}) AND c.state = 'pending' AND t.state = 'waiting'
    ), due AS (
        SELECT c.id FROM agents_toolcall c JOIN ranked r ON r.id = c.id
        WHERE r.place <= {AT_ONCE_OF_ONE} AND c.state = 'pending'
        ORDER BY r.place, c.created_at LIMIT %s FOR UPDATE OF c SKIP LOCKED
    ), taken AS (
        UPDATE agents_toolcall c SET state = 'running', attempts = c.attempts + 1, started_at = coalesce(c.started_at, now()),
            lease_until = now() + make_interval(secs => %s)
        FROM due d WHERE c.id = d.id RETURNING c.*
    )
    SELECT c.id, c.tenant_id AS tenant, c.task_id AS task, c.call_id, c.name, c.arguments, c.attempts, t.api_key_id AS key,
           t.submitted_by, t.priority, t.trace, p.slug AS pool, a.slug AS agent, r.tools,
           o.kind, o.parameters, o.request, o.remote_name, o.timeout_s, s.url AS server_url, s.headers AS server_headers
    FROM taken c JOIN agents_task t ON t.id = c.task_id
    JOIN orchestrator_pool p ON p.id = t.pool_id JOIN agents_agent a ON a.id = t.agent_id
    JOIN agents_agentrevision r ON r.id = t.revision_id
    LEFT JOIN agents_tool o ON o.tenant_id = c.tenant_id AND o.name = c.name
    LEFT JOIN agents_mcpserver s ON s.id = o.server_id
"""

RENEW = """
    UPDATE agents_toolcall SET lease_until = now() + make_interval(secs => %s) WHERE id = ANY(%s) AND state = 'running'
"""

# The attempt fences off a runner whose lease was lost.
FINISH = """
    UPDATE agents_toolcall SET state = %s, result = %s, finished_at = now(), lease_until = NULL
    WHERE id = %s AND attempts = %s AND state = 'running' RETURNING id
"""
# Nothing was done: it is not an attempt.
HAND_BACK = """
    UPDATE agents_toolcall SET state = 'pending', lease_until = NULL, attempts = attempts - 1
    WHERE id = %s AND attempts = %s AND state = 'running' RETURNING id
"""
# A call waits for a person, who is told, or for another task.
SET_WAITING = f"""
    WITH waits AS (
        UPDATE agents_toolcall SET state = 'waiting', lease_until = NULL WHERE id = %s AND attempts = %s AND state = 'running'
        RETURNING id, tenant_id, task_id, call_id, name
    ), asks AS (
        SELECT tenant_id, task_id, now() AS at, jsonb_build_array(jsonb_build_object('id', call_id, 'name', name)) AS calls
        FROM waits WHERE name = '{ASK_HUMAN}'
    ), announced AS ({announcing_waits("asks", "person")})
    SELECT id FROM waits
"""
ANSWER = """
    UPDATE agents_toolcall SET state = %s, result = %s, finished_at = now() WHERE id = %s AND state = 'waiting' RETURNING id
"""

# Of calls whose runner was lost: those that may be repeated are pending again, the others are told to be unknown.
LAPSED = """
    WITH lost AS (
        SELECT c.id, c.attempts < %(attempts_max)s
            AND (coalesce(o.is_idempotent, false) OR (o.id IS NULL AND c.name = ANY(%(builtin)s))) AS again
        FROM agents_toolcall c LEFT JOIN agents_tool o ON o.tenant_id = c.tenant_id AND o.name = c.name
        WHERE c.state = 'running' AND c.lease_until < now() FOR UPDATE OF c SKIP LOCKED
    )
    UPDATE agents_toolcall c SET
        state = CASE WHEN l.again THEN 'pending' ELSE 'failed' END, result = CASE WHEN l.again THEN '' ELSE %(unknown)s END,
        finished_at = CASE WHEN l.again THEN NULL ELSE now() END, lease_until = NULL
    FROM lost l, agents_task t, orchestrator_pool p WHERE c.id = l.id AND t.id = c.task_id AND p.id = t.pool_id
    RETURNING c.id, c.task_id AS task, c.call_id, c.name, c.state, c.result, p.slug AS pool
"""

# Tasks between two turns that nothing holds up any more, and those that have waited for too long.
READY = f"""
    SELECT t.id AS task FROM agents_task t JOIN agents_agentrevision r ON r.id = t.revision_id
    WHERE t.state NOT IN ({_OUTCOMES}) AND t.state = 'waiting' AND NOT EXISTS ({HELD}) AND (
        t.deadline_at < now()
        OR (r.limits ? 'max_seconds' AND t.created_at + make_interval(secs => (r.limits->>'max_seconds')::float) < now())
        OR NOT EXISTS (SELECT 1 FROM agents_toolcall c WHERE c.task_id = t.id AND c.state NOT IN ({_ENDED})))
    ORDER BY t.created_at LIMIT 500
"""

CHILDREN_ENDED = f"""
    SELECT c.id, c.task_id AS task, c.call_id, c.name, p.slug AS pool, k.id AS child, k.state, k.output, k.error
    FROM agents_toolcall c JOIN agents_task k ON k.parent_call_id = c.id JOIN agents_task t ON t.id = c.task_id
    JOIN orchestrator_pool p ON p.id = t.pool_id
    WHERE c.state = 'waiting' AND c.state NOT IN ({_ENDED}) AND k.finished_at IS NOT NULL LIMIT 500
"""

# Calls of tasks that have ended meanwhile.
ORPHANS = f"""
    WITH gone AS (
        SELECT c.id FROM agents_toolcall c JOIN agents_task t ON t.id = c.task_id
        WHERE c.state IN ('pending', 'waiting') AND c.state NOT IN ({_ENDED}) AND t.finished_at IS NOT NULL
        LIMIT 500 FOR UPDATE OF c SKIP LOCKED
    )
    UPDATE agents_toolcall c SET state = 'failed', result = 'The task ended before.', finished_at = now()
    FROM gone g WHERE c.id = g.id RETURNING c.id
"""

# Open tasks that were handed over by tasks that have ended: asked for until they have ended, too.
LEFT_CHILDREN = f"""
    SELECT k.tenant_id AS tenant, k.id AS child
    FROM agents_task k JOIN agents_toolcall c ON c.id = k.parent_call_id JOIN agents_task t ON t.id = c.task_id
    WHERE k.state NOT IN ({_OUTCOMES}) AND t.finished_at IS NOT NULL LIMIT 500
"""

DEPTH = """
    WITH RECURSIVE above AS (
        SELECT t.id, t.parent_call_id, 0 AS depth FROM agents_task t WHERE t.id = %s
        UNION ALL
        SELECT t.id, t.parent_call_id, a.depth + 1 FROM above a JOIN agents_toolcall c ON c.id = a.parent_call_id
        JOIN agents_task t ON t.id = c.task_id WHERE a.depth < 100
    )
    SELECT max(depth) AS depth FROM above
"""

# The limits of money of a task and of those above it that handed it over; against each count all turns that have ended, of the task
# and of all that it handed over, at the prices of their pools when they ended (as `billing_usagehour` counts them).
MONEY = """
    WITH RECURSIVE above AS (
        SELECT t.id, t.revision_id, t.parent_call_id, 0 AS depth FROM agents_task t WHERE t.id = %(task)s
        UNION ALL
        SELECT t.id, t.revision_id, t.parent_call_id, a.depth + 1 FROM above a JOIN agents_toolcall c ON c.id = a.parent_call_id
        JOIN agents_task t ON t.id = c.task_id WHERE a.depth < 100
    ), limited AS (
        SELECT a.id, a.depth, (r.limits->>'max_cost')::numeric AS max_cost
        FROM above a JOIN agents_agentrevision r ON r.id = a.revision_id WHERE r.limits ? 'max_cost'
    ), below AS (
        SELECT l.id AS root, l.id AS task FROM limited l
        UNION ALL
        SELECT b.root, k.id FROM below b JOIN agents_toolcall c ON c.task_id = b.task JOIN agents_task k ON k.parent_call_id = c.id
    )
    SELECT l.max_cost AS "limit", l.depth = 0 AS is_own, 0.000001 * coalesce(sum(
               (u.prompt_tokens - least(u.cached_tokens, u.prompt_tokens)) * x.input
               + least(u.cached_tokens, u.prompt_tokens) * x.cached_input + u.completion_tokens * x.output), 0) AS spent
    FROM limited l JOIN below b ON b.root = l.id JOIN agents_task t ON t.id = b.task JOIN orchestrator_pool p ON p.id = t.pool_id
    LEFT JOIN agents_turn u ON u.task_id = t.id AND u.finished_at IS NOT NULL
    LEFT JOIN LATERAL (
        SELECT y.* FROM jsonb_to_recordset(p.token_prices)
            AS y(valid_from timestamptz, input numeric, cached_input numeric, output numeric)
        WHERE y.valid_from <= u.finished_at ORDER BY y.valid_from DESC LIMIT 1
    ) x ON true
    GROUP BY l.id, l.max_cost, l.depth ORDER BY l.depth
"""

# -- the next turn -----------------------------------------------------------------------------------
# Before the task's, in which order others lock them, too: what is kept of a summary refers to the conversation.
LOCK_CONVERSATION = """
    SELECT c.id FROM agents_conversation c JOIN agents_task t ON t.conversation_id = c.id WHERE t.id = %s FOR KEY SHARE OF c
"""
LOCK = f"""
    SELECT t.id, t.tenant_id AS tenant, t.api_key_id AS key, t.params, t.options, t.output_form, t.priority, t.trace,
           t.deadline_at, t.created_at,
           t.prompt_tokens + t.completion_tokens AS tokens, t.input, r.limits, p.slug AS pool, p.token_prices,
           (r.limits ? 'max_cost' OR t.parent_call_id IS NOT NULL) AS may_cost, n.weight, n.max_running,
           coalesce(k.max_running, 0) AS key_max_running, l.tokens AS answer_tokens, now() AS now, n.is_active, k.revoked_at,
           n.budget_spent_until, k.budget_spent_until AS key_budget_spent_until
    FROM agents_task t JOIN agents_agentrevision r ON r.id = t.revision_id JOIN orchestrator_pool p ON p.id = t.pool_id
    JOIN tenants_tenant n ON n.id = t.tenant_id LEFT JOIN tenants_apikey k ON k.id = t.api_key_id
    LEFT JOIN agents_answerlength l ON l.agent_id = t.agent_id
    WHERE t.id = %s AND t.state = 'waiting' AND NOT EXISTS ({HELD}) FOR UPDATE OF t
"""
TURNS = """
    SELECT id, number, state, output, context, summarises, (count(summarises) OVER ())::int AS summaries
    FROM agents_turn WHERE task_id = %s ORDER BY number
"""
CALLS = """
    SELECT call_id, name, arguments, state, result FROM agents_toolcall WHERE turn_id = %s ORDER BY number
"""
NEXT_TURN = """
    WITH turn AS (
        INSERT INTO agents_turn (id, tenant_id, task_id, number, state, attempts, worker, context, output, prompt_tokens,
            completion_tokens, created_at, queued_at, allowance)
        VALUES (%(turn)s, %(tenant)s, %(task)s, %(number)s, 'queued', 0, '', %(context)s::jsonb, '', 0, 0, now(), now(),
            %(allowance)s::jsonb)
    ) UPDATE agents_task SET state = 'queued' WHERE id = %(task)s
"""

# -- a summary before the first answer ----------------------------------------------------------------
# Once for each message, whoever comes to it first. A conversation that has lost the message meanwhile keeps none.
KEEP_SUMMARY = """
    INSERT INTO agents_summary (id, tenant_id, conversation_id, last_message_id, turn_id, messages, text, created_at)
    SELECT %(summary)s, m.tenant_id, m.conversation_id, m.id, %(turn)s, %(messages)s, %(text)s, now()
    FROM agents_message m WHERE m.tenant_id = %(tenant)s AND m.id = %(last)s
    ON CONFLICT (last_message_id) DO NOTHING
"""
SET_INPUT = "UPDATE agents_task SET input = %s::jsonb WHERE id = %s"
