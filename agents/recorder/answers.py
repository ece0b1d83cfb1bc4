"""Answers as messages of conversations: written by the recorder, in the transaction that ends their tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg

from agents.recorder.changes import ROWS
from agents.submissions import CONVERSATIONS_CHANNEL

_LOCK = f"""
    WITH rows AS ({ROWS})
    SELECT c.id FROM agents_conversation c
    WHERE c.id IN (SELECT t.conversation_id FROM rows r JOIN agents_task t ON t.id = r.task
                   WHERE r.finished_ms > 0 AND NOT r.goes_on)
    ORDER BY c.id FOR UPDATE
"""

# An answer follows its question. The head goes along if it is still there, and nobody has asked for another answer since. What
# another message cut short is kept as far as it came.
_ANSWERS = f"""
    WITH rows AS ({ROWS}), ended AS (
        SELECT r.* FROM rows r JOIN agents_task t ON t.id = r.task
        WHERE r.finished_ms > 0 AND NOT r.goes_on AND t.state = ANY(%(open)s)
    ), answered AS (
        SELECT e.message, e.task, e.text, e.ended_at, e.task_state, p.tenant_id, p.conversation_id, p.number AS reply,
               p.question_number AS question,
               (SELECT max(m.number) FROM agents_message m WHERE m.conversation_id = p.conversation_id)
                   + row_number() OVER (PARTITION BY p.conversation_id ORDER BY e.ended_at, e.task) AS number
        FROM ended e JOIN agents_reply p ON p.task_id = e.task
        WHERE NOT p.over AND p.question_number IS NOT NULL AND (e.task_state = 'succeeded'
            OR (e.task_state = 'cancelled' AND p.superseded <> '' AND e.text <> ''))
    ), written AS (
        INSERT INTO agents_message (id, tenant_id, conversation_id, task_id, number, parent_number, role, content, interrupted,
            created_at)
        SELECT message, tenant_id, conversation_id, task, number, question, 'assistant', coalesce(text, ''),
               task_state = 'cancelled', ended_at
        FROM answered
    ), moved AS (
        UPDATE agents_conversation c SET head_number = a.number FROM answered a
        WHERE c.id = a.conversation_id AND c.head_number = a.question AND NOT EXISTS (
            SELECT 1 FROM agents_reply l WHERE l.conversation_id = c.id AND l.number > a.reply AND l.question_number = a.question)
    )
    UPDATE agents_reply p SET over = true, answer_number = a.number
    FROM ended e LEFT JOIN answered a ON a.task = e.task WHERE p.task_id = e.task AND NOT p.over
"""

# Who waits behind them is told: their turn comes when this has been committed.
_WAKE = f"""
    SELECT pg_notify('{CONVERSATIONS_CHANNEL}', '') WHERE EXISTS (
        SELECT 1 FROM agents_reply w WHERE w.conversation_id = ANY(%s) AND NOT w.over AND w.question_number IS NULL)
"""


async def write_answers(connection: psycopg.AsyncConnection[Any], arguments: Mapping[str, Any]) -> None:
    """Write what tasks of conversations say at their end. To be called before the ends are: an open task is answered once."""
    conversations = [row[0] for row in await (await connection.execute(_LOCK, arguments)).fetchall()]
    if conversations:
        await connection.execute(_ANSWERS, arguments)
        await connection.execute(_WAKE, [conversations])
