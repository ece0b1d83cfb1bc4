"""What the lines of conversations ask of Postgres. A line is locked by its conversation's row, as where tasks take their places."""

from __future__ import annotations

# Ends that were not written by the recorder, which says so itself.
SETTLE = """
    UPDATE agents_reply SET over = true WHERE task_id IN (
        SELECT r.task_id FROM agents_reply r JOIN agents_task t ON t.id = r.task_id
        WHERE NOT r.over AND t.finished_at IS NOT NULL FOR UPDATE OF r SKIP LOCKED)
"""

SUPERSEDED = """
    SELECT r.tenant_id AS tenant, r.task_id AS task FROM agents_reply r JOIN agents_task t ON t.id = r.task_id
    WHERE NOT r.over AND r.superseded <> '' AND t.finished_at IS NULL ORDER BY r.task_id LIMIT 500
"""

LATE = """
    SELECT r.task_id AS task, u.id AS turn, p.slug AS pool
    FROM agents_reply r JOIN agents_task t ON t.id = r.task_id JOIN agents_turn u ON u.task_id = t.id
    JOIN orchestrator_pool p ON p.id = t.pool_id
    WHERE NOT r.over AND r.question_number IS NULL AND t.finished_at IS NULL AND t.deadline_at < now() LIMIT 500
"""

# Lines in which somebody waits and nobody runs.
DUE = """
    SELECT w.line FROM agents_reply w JOIN agents_task t ON t.id = w.task_id
    WHERE NOT w.over AND w.question_number IS NULL AND w.superseded = '' AND t.finished_at IS NULL AND NOT EXISTS (
        SELECT 1 FROM agents_reply r JOIN agents_task s ON s.id = r.task_id
        WHERE r.line = w.line AND NOT r.over AND r.question_number IS NOT NULL AND s.finished_at IS NULL)
    GROUP BY w.line ORDER BY min(t.created_at) LIMIT 500
"""

LOCK = """
    SELECT c.id, c.head_number AS head FROM agents_conversation c
    WHERE c.id = (SELECT conversation_id FROM agents_reply WHERE line = %s LIMIT 1) FOR UPDATE
"""
LINE = """
    SELECT r.task_id AS task, r.line, r.question_number AS question, r.after_number AS after, r.answer_number AS answer,
           r.superseded, t.finished_at IS NOT NULL AS ended
    FROM agents_reply r JOIN agents_task t ON t.id = r.task_id WHERE r.line = %s ORDER BY r.number
"""
# One that is late is ended (`LATE`), and those behind it wait until that is recorded.
TASK = """
    SELECT t.id, t.tenant_id AS tenant, t.api_key_id AS key, t.params, t.options, t.output_form, t.priority, t.deadline_at,
           t.input, t.trace,
           r.said, u.id AS turn, u.allowance, v.context AS setting, p.slug AS pool, n.weight, n.max_running,
           coalesce(k.max_running, 0) AS key_max_running, l.tokens AS answer_tokens,
           coalesce((SELECT max(m.number) FROM agents_message m WHERE m.conversation_id = r.conversation_id), 0) AS messages
    FROM agents_task t JOIN agents_reply r ON r.task_id = t.id JOIN agents_turn u ON u.task_id = t.id
    JOIN orchestrator_pool p ON p.id = t.pool_id JOIN agents_agentrevision v ON v.id = t.revision_id
    JOIN tenants_tenant n ON n.id = t.tenant_id LEFT JOIN tenants_apikey k ON k.id = t.api_key_id
    LEFT JOIN agents_answerlength l ON l.agent_id = t.agent_id
    WHERE t.id = %s AND t.state = 'waiting' AND (t.deadline_at IS NULL OR t.deadline_at >= now()) FOR UPDATE OF t
"""

OVER = """
    UPDATE agents_reply r SET over = true FROM agents_task t
    WHERE r.line = %s AND NOT r.over AND t.id = r.task_id AND t.finished_at IS NOT NULL
"""
START = """
    WITH said AS (
        INSERT INTO agents_message (id, tenant_id, conversation_id, task_id, number, parent_number, role, content, created_at)
        SELECT m.id, %(tenant)s, %(conversation)s, %(task)s, m.number, m.parent, m.role, m.content, now()
        FROM jsonb_to_recordset(%(messages)s::jsonb) AS m(id uuid, number int, parent int, role text, content text)
    ), placed AS (
        UPDATE agents_reply SET after_number = %(after)s, question_number = %(question)s WHERE task_id = %(task)s
    ), moved AS (
        UPDATE agents_conversation SET head_number = %(question)s WHERE id = %(conversation)s AND %(leads)s
    ), turned AS (
        UPDATE agents_turn SET state = 'queued', queued_at = now() WHERE id = %(turn)s
    )
    UPDATE agents_task SET state = 'queued', input = %(input)s::jsonb WHERE id = %(task)s
"""
