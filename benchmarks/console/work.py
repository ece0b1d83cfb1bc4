"""What the crowd did in thirty days: tasks with turns and tool calls, and conversations with messages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from agents.models import Conversation, Message, Task, ToolCall, Turn
from benchmarks.console.crowd import DAYS
from benchmarks.console.pouring import pour, run

CHUNK = 50_000
OPEN = 400
"""The newest tasks, which have not ended."""
MESSAGES = 6
WITH_TOOLS = "mod(hashtext(t.id::text), 7) = 0"
"""A seventh of the tasks call a tool, and go on with a second turn."""
ERRORS = (
    ("engine_error", "The engine gave up: out of memory."),
    ("context_too_long", "The prompt has 9,112 tokens, the model takes 8,192."),
    ("poison", "Every worker that ran it was lost with it."),
    ("attempts_exhausted", "Its lease lapsed three times."),
)


def fill_work(*, tasks: int, conversations: int, now: datetime, say: Callable[[str], None] = lambda _: None) -> None:
    """Write all of it. The few most busy tenants have most of the tasks; the oldest come first, as they would.

    Triggers rest meanwhile (a superuser of Postgres may say so): they count row by row what is inserted as ended. What was used is
    counted by the same functions, many rows at a time.
    """
    since = now - timedelta(days=DAYS)
    step = f"interval '{DAYS * 86_400 / tasks:.6f} seconds'"
    run("SET session_replication_role = replica")
    for first in range(0, tasks, CHUNK):
        last = min(tasks, first + CHUNK)
        _tasks(first, last, tasks, begin=f"timestamptz '{since.isoformat()}'", step=step)
        say(f"{last:,} tasks")
    _conversations(conversations, now)
    run("SET session_replication_role = origin")
    run("ANALYZE")


def _tasks(first: int, last: int, tasks: int, *, begin: str, step: str) -> None:
    codes = " ".join(
        f'WHEN {number} THEN \'{{"code": "{code}", "message": "{message}"}}\'::jsonb'
        for number, (code, message) in enumerate(ERRORS)
    )
    ended = f"d.i <= {tasks - OPEN}"
    pour(
        Task,
        f"""(SELECT i, {begin} + i * {step} AS at, random() AS r,
                    1 + floor(power(random(), 3) * (SELECT count(*) FROM bench_agent))::bigint AS n, random() AS s
             FROM generate_series({first + 1}, {last}) i OFFSET 0) d JOIN bench_agent b ON b.n = d.n""",
        id="pg_temp.id_at(d.at)",
        tenant="b.tenant_id",
        agent="b.id",
        revision="b.revision_id",
        pool="b.pool_id",
        api_key="b.key_id",
        state=f"""CASE WHEN NOT {ended} THEN (ARRAY['queued', 'running', 'waiting'])[1 + mod(d.i, 3)]
                  WHEN d.r < 0.93 THEN 'succeeded' WHEN d.r < 0.96 THEN 'failed' WHEN d.r < 0.99 THEN 'cancelled'
                  ELSE 'expired' END""",
        input="jsonb_build_array(jsonb_build_object('role', 'user', 'content', 'Sum up report ' || d.i || repeat(' of it', 20)))",
        params="'{\"max_tokens\": 200}'::jsonb",
        idempotency_key="CASE WHEN mod(d.i, 10) = 0 THEN 'order-' || d.i END",
        output=f"CASE WHEN {ended} AND d.r < 0.93 THEN repeat('The report says that all is well. ', 6) ELSE '' END",
        error=f"CASE WHEN {ended} AND d.r >= 0.93 AND d.r < 0.96 THEN CASE floor(d.s * d.s * {len(ERRORS)}) {codes} END END",
        prompt_tokens="100 + floor(900 * d.s)",
        completion_tokens="20 + floor(180 * d.s)",
        attempts="1",
        created_at="d.at",
        started_at="d.at + 0.8 * d.s * interval '1 second'",
        first_token_at="d.at + (0.1 + 0.8 * d.s) * interval '1 second'",
        finished_at=f"CASE WHEN {ended} THEN d.at + (1 + 9 * d.s) * interval '1 second' END",
    )
    run("ANALYZE agents_task")  # or what follows is planned for a table that was empty a moment ago
    new = f"agents_task t WHERE t.created_at > {begin} + {first} * {step} AND t.created_at <= {begin} + {last} * {step}"
    for number, of_which in ((1, ""), (2, f" AND {WITH_TOOLS}")):
        pour(
            Turn,
            f"{new}{of_which}",
            id=f"pg_temp.id_at(t.created_at + {number - 1} * interval '2 seconds')",
            tenant="t.tenant_id",
            task="t.id",
            number=str(number),
            state="t.state",
            attempts="1",
            worker="substr(md5(t.pool_id::text || mod(hashtext(t.id::text), 25)), 1, 12)",
            prompt_tokens="t.prompt_tokens",
            completion_tokens="t.completion_tokens",
            created_at="t.created_at",
            queued_at="t.created_at",
            claimed_at="t.started_at",
            first_token_at="t.first_token_at",
            finished_at="t.finished_at",
        )
    pour(
        ToolCall,
        f"agents_turn u JOIN (SELECT * FROM {new} AND {WITH_TOOLS}) t ON t.id = u.task_id AND u.number = 1",
        id="gen_random_uuid()",
        tenant="t.tenant_id",
        task="t.id",
        turn="u.id",
        number="1",
        call_id="'call_' || substr(md5(t.id::text), 1, 12)",
        name="(ARRAY['search', 'weather', 'lookup_order', 'calculator'])[1 + mod(abs(hashtext(u.id::text)::bigint), 4)]",
        arguments='\'{"query": "report"}\'',
        state="'succeeded'",
        attempts="1",
        result="'found'",
        created_at="t.created_at",
        started_at="t.created_at",
        finished_at="t.created_at + interval '1 second'",
    )
    run("ANALYZE agents_turn")
    for table, function in (("agents_task", "billing_count_tasks"), ("agents_turn", "billing_count_turns")):
        some = f"SELECT array_agg(id) FROM {table} WHERE created_at > {begin} + {first} * {step}"
        run(f"SELECT {function}(({some} AND created_at <= {begin} + {last} * {step}))")


def _conversations(count: int, now: datetime) -> None:
    step = f"interval '{DAYS * 86_400 / count:.6f} seconds'"
    begin = f"timestamptz '{(now - timedelta(days=DAYS)).isoformat()}'"
    pour(
        Conversation,
        f"""(SELECT i, 1 + floor(power(random(), 3) * (SELECT count(*) FROM bench_agent))::bigint AS n
             FROM generate_series(1, {count}) i OFFSET 0) d JOIN bench_agent b ON b.n = d.n""",
        id=f"pg_temp.id_at({begin} + d.i * {step})",
        tenant="b.tenant_id",
        agent="b.id",
        title="'Report ' || d.i",
        created_at=f"{begin} + d.i * {step}",
    )
    pour(
        Message,
        f"agents_conversation c, generate_series(1, {MESSAGES}) n",
        id="pg_temp.id_at(c.created_at + n * interval '10 seconds')",
        tenant="c.tenant_id",
        conversation="c.id",
        number="n",
        parent_number="nullif(n - 1, 0)",
        role="CASE mod(n, 2) WHEN 1 THEN 'user' ELSE 'assistant' END",
        content="'What does the report say of part ' || n || '?'",
        created_at="c.created_at + n * interval '10 seconds'",
    )
