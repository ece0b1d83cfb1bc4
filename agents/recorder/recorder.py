"""The recorder itself: it reads the records of all pools in batches, commits what they mean, and acknowledges them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg
from psycopg.rows import namedtuple_row

from agents import measured
from agents.announcing import ASK_HUMAN, ENDED_COLUMNS, announcing, announcing_waits
from agents.lifecycle import OPEN
from agents.limits import Bill, Limits, bill
from agents.postgres import with_settings
from agents.recorder.answers import write_answers
from agents.recorder.changes import ROWS, TurnChange, fold
from agents.recorder.lines import about_tasks
from agents.recorder.sweep import Sweep
from agents.submissions import TOOLS_CHANNEL
from taskqueue.async_budget import AsyncBudget
from taskqueue.async_client import AsyncQueue
from taskqueue.failures import QueueUnavailable
from telemetry import logs, tracing
from telemetry.pulse import PULSE
from tenants.identifiers import new_id

if TYPE_CHECKING:
    from telemetry.exporting import TaskSpans

log = logging.getLogger(__name__)

BATCH = 500
BLOCK_S = 1.0
POOLS_EVERY_S = 1.0
SWEEP_EVERY_S = 5.0
RETRY_S = 0.5
BEAT_WITHIN_S = 60.0
"""A loop that has not come round for so long hangs."""

# A turn's end is written once, so what it adds to its task is added once.
_TURNED = """
    UPDATE agents_turn t SET
        state = r.state, attempts = greatest(t.attempts, r.attempts),
        worker = coalesce(r.worker, t.worker),
        claimed_at = coalesce(t.claimed_at, r.claimed_at), first_token_at = coalesce(t.first_token_at, r.token_at),
        finished_at = r.ended_at, prompt_tokens = r.prompt_tokens, completion_tokens = r.completion_tokens,
        cached_tokens = r.cached_tokens, attempt_log = CASE WHEN r.last_token_ms > 0 THEN jsonb_set(
            coalesce(t.attempt_log || r.attempt_log, t.attempt_log, r.attempt_log),
            ARRAY[r.attempts::text, 'first_token_ms'], to_jsonb(r.last_token_ms))
            ELSE coalesce(t.attempt_log || r.attempt_log, t.attempt_log, r.attempt_log) END,
        context_use = nullif(r.context, 'null'::jsonb),
        output = CASE WHEN r.goes_on THEN coalesce(r.text, '') ELSE '' END
    FROM rows r WHERE t.id = r.turn AND NOT r.closes AND t.state = ANY(%(open)s)
    RETURNING t.id
"""

_CALLED = """
    INSERT INTO agents_toolcall (id, tenant_id, task_id, turn_id, number, call_id, name, arguments, state, attempts, result,
        created_at)
    SELECT gen_random_uuid(), t.tenant_id, t.id, r.turn, c.number, c.value->>'id', left(c.value->>'name', 200),
           c.value->>'arguments', 'pending', 0, '', r.ended_at
    FROM rows r JOIN turned d ON d.id = r.turn JOIN agents_task t ON t.id = r.task
    CROSS JOIN LATERAL jsonb_array_elements(
        CASE WHEN r.goes_on THEN r.tool_calls ELSE '[]'::jsonb END) WITH ORDINALITY AS c(value, number)
    RETURNING tenant_id, task_id, number, call_id, name, created_at
"""

# What a person is asked is announced when the question can be answered, by who asks it (`agents.runner`).
_WAITS = f"""
    SELECT tenant_id, task_id, max(created_at) AS at,
           jsonb_agg(jsonb_build_object('id', call_id, 'name', name) ORDER BY number) AS calls
    FROM called WHERE name <> '{ASK_HUMAN}' GROUP BY tenant_id, task_id
"""

ANSWERS_WEIGHED = 20
"""An agent's expected answer is the mean of about so many of its last ones."""

# Each end is written once, so it is learnt from once. Rows are locked in order: two recorders cannot wait for each other.
_LEARN = f"""
    INSERT INTO agents_answerlength AS l (agent_id, tenant_id, tokens, answers)
    SELECT agent_id, tenant_id, avg(answer_tokens), count(*) FROM written
    WHERE state = 'succeeded' AND answer_tokens > 0 GROUP BY agent_id, tenant_id ORDER BY agent_id
    ON CONFLICT (agent_id) DO UPDATE SET answers = l.answers + excluded.answers,
        tokens = excluded.tokens + (l.tokens - excluded.tokens) * least(
            power(1 - 1.0 / {ANSWERS_WEIGHED}, excluded.answers), l.answers::float / (l.answers + excluded.answers))
"""

# Answers with the tasks that ended: their figures, and what each took beyond its reservation, which it `owes` where its tenant or
# its key has a limit of tokens. Once, since only the one end of a task is written.
TASKS = f"""
    WITH rows AS ({ROWS}), turned AS ({_TURNED}), called AS ({_CALLED}),
    waits AS ({_WAITS}), told AS ({announcing_waits("waits", "tools")}),
    shut AS (
    UPDATE agents_turn u SET state = r.state, finished_at = r.ended_at FROM rows r
    WHERE r.closes AND u.task_id = r.task AND u.state = ANY(%(open)s)), written AS (
    UPDATE agents_task t SET
        state = r.task_state, attempts = greatest(t.attempts, r.attempts),
        started_at = coalesce(t.started_at, r.claimed_at), first_token_at = coalesce(t.first_token_at, r.token_at),
        finished_at = CASE WHEN r.goes_on THEN NULL ELSE r.ended_at END,
        finish_reason = CASE WHEN r.goes_on THEN '' ELSE r.finish_reason END,
        error = CASE WHEN r.goes_on THEN NULL ELSE nullif(r.error, 'null'::jsonb) END,
        prompt_tokens = t.prompt_tokens + r.prompt_tokens, completion_tokens = t.completion_tokens + r.completion_tokens,
        cached_tokens = t.cached_tokens + r.cached_tokens, context_use = coalesce(nullif(r.context, 'null'::jsonb), t.context_use),
        output = CASE WHEN r.goes_on THEN '' ELSE coalesce(r.text, '') END, logprobs = r.logprobs,
        tool_calls = CASE WHEN r.goes_on THEN NULL ELSE nullif(r.tool_calls, 'null'::jsonb) END
    FROM rows r LEFT JOIN turned d ON d.id = r.turn
    WHERE t.id = r.task AND t.state = ANY(%(open)s) AND (r.closes OR d.id IS NOT NULL)
    RETURNING {ENDED_COLUMNS}, t.api_key_id, t.started_at, t.first_token_at, t.cached_tokens, r.completion_tokens AS answer_tokens,
              t.prompt_tokens + t.completion_tokens - t.estimated_tokens AS beyond),
    learnt AS ({_LEARN}), announced AS ({announcing("written")})
    SELECT w.tenant_id, n.tokens_per_minute, n.tokens_per_month, w.api_key_id, coalesce(k.tokens_per_minute, 0) AS key_per_minute,
           coalesce(k.tokens_per_month, 0) AS key_per_month, w.created_at, w.beyond, w.beyond <> 0
           AND n.tokens_per_minute + n.tokens_per_month + coalesce(k.tokens_per_minute + k.tokens_per_month, 0) > 0 AS owes,
           w.state, w.error->>'code' AS code, w.started_at, w.first_token_at, w.finished_at, w.prompt_tokens, w.cached_tokens,
           w.completion_tokens
    FROM written w JOIN tenants_tenant n ON n.id = w.tenant_id LEFT JOIN tenants_apikey k ON k.id = w.api_key_id
    WHERE w.finished_at IS NOT NULL
"""


class Recorder:
    """One process that serves all pools; each pool has its own loop and its own connection to Postgres."""

    def __init__(self, *, database_url: str, redis_url: str) -> None:
        self._database_url, self._redis_url = database_url, redis_url
        self._spans: TaskSpans | None = None
        self._loops: dict[str, asyncio.Task[None]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Record until `stop` is set; what was read by then is committed."""
        self._spans = _spans(self._database_url)
        sweeping = asyncio.create_task(self._sweep(stop), name="sweep")
        while not stop.is_set():
            PULSE.beat("pools", within_s=BEAT_WITHIN_S)
            try:
                for pool in await self._pools():
                    if pool not in self._loops or self._loops[pool].done():
                        self._loops[pool] = asyncio.create_task(self._serve(pool, stop), name=f"record {pool}")
                PULSE.lacks("pools", "")
            except psycopg.OperationalError as error:
                log.warning("Postgres does not answer: %s", error)
                PULSE.lacks("pools", "Postgres does not answer")
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), POOLS_EVERY_S)
        await asyncio.gather(sweeping, *self._loops.values(), return_exceptions=True)
        if self._spans is not None:
            await self._spans.close()

    async def _pools(self) -> list[str]:
        async with await psycopg.AsyncConnection.connect(self._database_url, autocommit=True) as connection:
            rows = await (await connection.execute("SELECT slug FROM orchestrator_pool")).fetchall()
            return [row[0] for row in rows]

    async def _serve(self, pool: str, stop: asyncio.Event) -> None:
        queue = AsyncQueue(self._redis_url, pool)
        try:
            while not stop.is_set():
                try:
                    async with await psycopg.AsyncConnection.connect(
                        with_settings(self._database_url, jit="off"), prepare_threshold=1
                    ) as connection:
                        while not stop.is_set():
                            PULSE.beat(pool, within_s=BEAT_WITHIN_S)
                            await record_once(connection, queue, block_s=BLOCK_S, spans=self._spans)
                            PULSE.lacks(pool, "")
                except (psycopg.OperationalError, QueueUnavailable) as error:
                    log.warning("pool %s: %s; trying again", pool, error)
                    PULSE.beat(pool, within_s=BEAT_WITHIN_S)
                    PULSE.lacks(pool, "Postgres or Redis does not answer")
                    await asyncio.sleep(RETRY_S)
                except Exception:
                    log.exception("pool %s: recording failed; trying again", pool)
                    await asyncio.sleep(RETRY_S)
        finally:
            PULSE.end(pool)
            await queue.aclose()

    async def _sweep(self, stop: asyncio.Event) -> None:
        sweep = Sweep(self._redis_url)
        try:
            while not stop.is_set():
                try:
                    async with await psycopg.AsyncConnection.connect(self._database_url, autocommit=True) as connection:
                        await sweep.once(connection)
                except (psycopg.OperationalError, QueueUnavailable) as error:
                    log.warning("sweep: %s; trying again", error)
                except Exception:
                    log.exception("sweep: this pass failed; the next comes all the same")
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), SWEEP_EVERY_S)
        finally:
            await sweep.aclose()


def _spans(database_url: str) -> TaskSpans | None:
    """What exports the spans of tasks, where traces are on: only there OpenTelemetry is imported."""
    if (on := tracing.active()) is None:
        return None
    from agents.recorder.traces import reader
    from telemetry.exporting import TaskSpans

    return TaskSpans(on, reader(on, partial(psycopg.AsyncConnection.connect, database_url, autocommit=True)))


async def record_once(
    connection: psycopg.AsyncConnection, queue: AsyncQueue, *, block_s: float = 0.0, spans: TaskSpans | None = None
) -> int:
    """Read one batch, commit it, acknowledge it; returns how many records it held. `spans` tells the traces of tasks that ended."""
    records = await queue.read_records(count=BATCH, block_s=block_s)
    if not records:
        measured.idle(queue.pool)
        return 0
    begun = time.monotonic()
    changes = fold(records)
    for change in changes:
        if change.finished_ms and change.text is None:
            change.text = await _text_of_log(queue, change.task, first=change.after)
        if change.has_logprobs and not change.goes_on:
            change.logprobs = await _logprobs_of_log(queue, change.task)
    # The end of a task between its turns comes behind the end of its last turn, which may stand in the same batch.
    bills = []
    for part in ([one for one in changes if not one.closes], [one for one in changes if one.closes]):
        bills += await _write_all(connection, part, pool=queue.pool)
    if log.isEnabledFor(logging.DEBUG):
        for about in await about_tasks(connection, {change.task for change in changes}):
            with logs.about(**about):
                log.debug("task %s: what happened is recorded", about["task"])
    if spans is not None:
        spans.ended({change.task for change in changes if change.finished_ms and not change.goes_on})
    await _settle(AsyncBudget(queue.link), bills)
    await queue.acknowledge(records)
    measured.recorded(queue.pool, records, took_s=time.monotonic() - begun, now=time.time())
    return len(records)


async def _write_all(connection: psycopg.AsyncConnection, changes: Sequence[TurnChange], *, pool: str) -> list[Bill]:
    if not changes:
        return []
    try:
        return await _write(connection, changes, pool=pool)
    except (psycopg.DataError, psycopg.IntegrityError):
        log.exception("a batch of %d changes does not fit; writing them one by one", len(changes))
        return [owed for change in changes for owed in await _write_or_fail(connection, change, pool=pool)]


async def _settle(budget: AsyncBudget, bills: Sequence[Bill]) -> None:
    """Correct what was reserved, after the commit: a crash between the two costs a correction, and never makes one twice."""
    await asyncio.gather(*(budget.settle(str(bill.tenant), bill.meters) for bill in bills))


async def _text_of_log(queue: AsyncQueue, task: str, *, first: int) -> str:
    """What a turn has shown, whose events begin at `first`."""
    pieces: list[str] = []
    after = max(0, first - 1)
    while events := await queue.read_log(task, after=after):
        after = events[-1].seq
        pieces += [msgspec.json.decode(event.data, type=str) for event in events if event.kind == "text"]
    return "".join(pieces)


async def _logprobs_of_log(queue: AsyncQueue, task: str) -> str | None:
    """Those of a task's last turn, as the JSON text of a list; None where there are none."""
    lists: list[str] = []
    after = 0
    while events := await queue.read_log(task, after=after):
        after = events[-1].seq
        for event in events:
            if event.kind in ("restart", "tool_calls"):
                lists.clear()
            elif event.kind == "logprobs":
                lists.append(event.data[1:-1])
    return f"[{','.join(lists)}]" if lists else None


async def _write(connection: psycopg.AsyncConnection, changes: Sequence[TurnChange], *, pool: str) -> list[Bill]:
    """Commit; returns what is to be corrected in the tenants' budgets."""
    rows = [{**msgspec.structs.asdict(change), "message": str(new_id())} for change in changes]
    arguments = {"rows": msgspec.json.encode(rows).decode(), "open": sorted(OPEN)}
    async with connection.transaction():
        await write_answers(connection, arguments)
        async with connection.cursor(row_factory=namedtuple_row) as cursor:
            ended: list[Any] = await (await cursor.execute(TASKS, arguments)).fetchall()
        if any(change.goes_on for change in changes):
            await connection.execute("SELECT pg_notify(%s, '')", [TOOLS_CHANNEL])
    measured.ended(pool, ended)
    return [_correction(row[:8]) for row in ended if row.owes]


def _correction(row: tuple[Any, ...]) -> Bill:
    tenant, per_minute, per_month, key, key_per_minute, key_per_month, submitted_at, beyond = row
    return bill(
        tenant=tenant,
        limits=Limits(0, per_minute, per_month),
        key=key,
        key_limits=Limits(0, key_per_minute, key_per_month),
        at=submitted_at.astimezone(UTC),
        requests=0,
        tokens=beyond,
    )


async def _write_or_fail(connection: psycopg.AsyncConnection, change: TurnChange, *, pool: str) -> list[Bill]:
    """A result that Postgres will not take must not hold up the others: its task ends as failed, and says why."""
    try:
        return await _write(connection, [change], pool=pool)
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        for about in await about_tasks(connection, [change.task]):
            with logs.about(**about):
                log.exception("task %s cannot be recorded", change.task)
        return await _write(
            connection,
            [
                msgspec.structs.replace(
                    change,
                    state="failed",
                    task_state="failed",
                    goes_on=False,
                    tool_calls=None,
                    text="",
                    prompt_tokens=0,
                    completion_tokens=0,
                    cached_tokens=0,
                    finished_ms=change.finished_ms or change.claimed_ms,
                    error={
                        "code": "unrecordable",
                        "message": f"The result could not be stored: {type(error).__name__}.",
                    },
                )
            ],
            pool=pool,
        )
