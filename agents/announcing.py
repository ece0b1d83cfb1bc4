"""What tenants' webhooks are told of a task that has ended, or that waits: pieces of SQL for the statements that make it so."""

from __future__ import annotations

from typing import Literal

from webhooks.announcing import insertion

ASK_HUMAN = "ask_human"
"""The call that waits for a person."""
ENDED_COLUMNS = (
    "t.tenant_id, t.id, t.agent_id, t.conversation_id, t.state, t.metadata, t.finish_reason, t.error, t.prompt_tokens, "
    "t.completion_tokens, t.attempts, t.created_at, t.finished_at, t.trace"
)
"""What a statement must return of the tasks (as `t`) that it ended, under a name that it gives to `announcing`."""


def announcing(ended: str) -> str:
    """The statement that announces the tasks of the table `ended`; those that go on are passed over.

    It stands in the very statement that writes the outcome. So there is no end without its announcement, and none is made twice.
    """
    return insertion(f"""(
        SELECT w.tenant_id, 'task.' || w.state AS type, w.finished_at AS at, jsonb_build_object(
            'id', w.id, 'agent', a.slug, 'state', w.state, 'conversation', w.conversation_id, 'metadata', w.metadata,
            'finish_reason', nullif(w.finish_reason, ''), 'error', w.error, 'attempts', w.attempts,
            'usage', jsonb_build_object('prompt_tokens', w.prompt_tokens, 'completion_tokens', w.completion_tokens),
            'created_at', w.created_at, 'finished_at', w.finished_at) AS data, w.trace
        FROM {ended} w JOIN agents_agent a ON a.id = w.agent_id WHERE w.finished_at IS NOT NULL
    )""")


def announcing_waits(waits: str, waits_for: Literal["person", "tools"]) -> str:
    """The statement that announces tasks that wait from now on. The table `waits` has tenant_id, task_id, at and calls (JSON).

    The calls are told by id and name; what they ask is text, which no message holds.
    """
    return insertion(f"""(
        SELECT w.tenant_id, 'task.waiting' AS type, w.at, jsonb_build_object(
            'id', t.id, 'agent', a.slug, 'state', 'waiting', 'conversation', t.conversation_id, 'metadata', t.metadata,
            'waits_for', '{waits_for}', 'calls', w.calls, 'created_at', t.created_at) AS data, t.trace
        FROM {waits} w JOIN agents_task t ON t.id = w.task_id JOIN agents_agent a ON a.id = t.agent_id
    )""")
