"""What tenants' webhooks are told of a task that has ended: one piece of SQL for every statement that ends tasks."""

from __future__ import annotations

from webhooks.announcing import insertion

ENDED_COLUMNS = (
    "t.tenant_id, t.id, t.agent_id, t.conversation_id, t.state, t.metadata, t.finish_reason, t.error, t.prompt_tokens, "
    "t.completion_tokens, t.attempts, t.created_at, t.finished_at"
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
            'created_at', w.created_at, 'finished_at', w.finished_at) AS data
        FROM {ended} w JOIN agents_agent a ON a.id = w.agent_id WHERE w.finished_at IS NOT NULL
    )""")
