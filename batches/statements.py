"""Every statement on files, batches and lines outside Django's models. What a tenant asks names the tenant.

Tables and columns are those of `batches.models`. A state is left only by the moves of `batches.lifecycle`, and, by whoever runs a
batch, only while it holds it: a process that was paused and comes back late changes nothing.
"""

from __future__ import annotations

from batches.lifecycle import OPEN

_OPEN = "(" + ", ".join(f"'{state}'" for state in sorted(OPEN)) + ")"
"""In words, as the index of open batches has it: so it is used, however many have ended."""

# Files ---------------------------------------------------------------------------------------------

STORED_BYTES = (
    "SELECT coalesce(sum(bytes), 0)::bigint AS bytes FROM batches_file WHERE tenant_id = %s AND deleted_at IS NULL"
)
BEGIN_FILE = """
    INSERT INTO batches_file (id, tenant_id, filename, purpose, state, bytes, created_at, touched_at)
    VALUES (%s, %s, %s, %s, 'uploading', 0, now(), now())
"""
APPEND = """
    WITH piece AS (
        INSERT INTO batches_filechunk (id, tenant_id, file_id, number, data)
        SELECT %s, tenant_id, id, %s, %s FROM batches_file
        WHERE id = %s AND state = 'uploading' AND deleted_at IS NULL RETURNING file_id
    ) UPDATE batches_file f SET bytes = f.bytes + %s, touched_at = now() FROM piece p WHERE f.id = p.file_id RETURNING f.id
"""
PROCESSED = """
    UPDATE batches_file SET state = 'processed', expires_at = created_at + %s * interval '1 second'
    WHERE tenant_id = %s AND id = %s AND state = 'uploading' AND deleted_at IS NULL RETURNING *
"""
_SEEN = "state = 'processed' AND deleted_at IS NULL AND (expires_at IS NULL OR expires_at > now())"
FILE = f"SELECT * FROM batches_file WHERE tenant_id = %s AND id = %s AND {_SEEN}"
FILES = f"""
    SELECT * FROM batches_file WHERE tenant_id = %(tenant)s AND {_SEEN} AND (%(purpose)s::text IS NULL OR purpose = %(purpose)s)
"""
CHUNK = "SELECT data FROM batches_filechunk WHERE file_id = %s AND number = %s"
CHUNKS = "SELECT data FROM batches_filechunk WHERE file_id = %s AND number BETWEEN %s AND %s ORDER BY number"

# A batch locks its file FOR SHARE when it is made, so that one of the two sees the other.
LOCK_FILE = f"SELECT id FROM batches_file WHERE tenant_id = %s AND id = %s AND {_SEEN} FOR UPDATE"
FILE_IN_USE = f"SELECT 1 FROM batches_batch WHERE input_file_id = %s AND state IN {_OPEN} LIMIT 1"
# A file is first deleted, and so nobody's to see; then its content goes, a few pieces at a time.
DELETE_FILE = "UPDATE batches_file SET deleted_at = now() WHERE id = %s AND deleted_at IS NULL"
DROP = DELETE_FILE + " AND state = 'uploading'"
EXPIRE = f"""
    UPDATE batches_file SET deleted_at = now() WHERE id IN (
        SELECT id FROM batches_file f WHERE deleted_at IS NULL AND state = 'processed' AND expires_at <= now()
          AND NOT EXISTS (SELECT 1 FROM batches_batch b WHERE b.input_file_id = f.id AND b.state IN {_OPEN})
        ORDER BY expires_at LIMIT 100 FOR UPDATE SKIP LOCKED)
"""
ABANDON = """
    UPDATE batches_file SET deleted_at = now() WHERE id IN (
        SELECT id FROM batches_file
        WHERE state = 'uploading' AND deleted_at IS NULL AND touched_at < now() - interval '1 hour'
        ORDER BY touched_at LIMIT 100 FOR UPDATE SKIP LOCKED)
"""
NOT_EMPTY = """
    SELECT id FROM batches_file WHERE deleted_at IS NOT NULL AND emptied_at IS NULL ORDER BY deleted_at LIMIT %s
"""
EMPTY_SOME = """
    WITH first AS (
        SELECT c.id FROM batches_filechunk c JOIN batches_file f ON f.id = c.file_id
        WHERE c.file_id = %s AND f.deleted_at IS NOT NULL ORDER BY c.number LIMIT %s
    ), gone AS (DELETE FROM batches_filechunk WHERE id IN (SELECT id FROM first) RETURNING 1)
    SELECT count(*)::int AS pieces FROM gone
"""
# One that was never whole leaves no row; others do, since batches name them.
EMPTIED = """
    WITH emptied AS (
        UPDATE batches_file f SET emptied_at = now()
        WHERE id = %s AND deleted_at IS NOT NULL AND emptied_at IS NULL AND state <> 'uploading'
          AND NOT EXISTS (SELECT 1 FROM batches_filechunk c WHERE c.file_id = f.id)
    )
    DELETE FROM batches_file f WHERE id = %s AND deleted_at IS NOT NULL AND state = 'uploading'
      AND NOT EXISTS (SELECT 1 FROM batches_filechunk c WHERE c.file_id = f.id)
"""

# Batches, as their tenants ask -----------------------------------------------------------------------

INPUT = f"SELECT purpose FROM batches_file WHERE tenant_id = %s AND id = %s AND {_SEEN} FOR SHARE"
OPEN_BATCHES = f"SELECT count(*)::int AS open FROM batches_batch WHERE tenant_id = %s AND state IN {_OPEN}"
CREATE = """
    INSERT INTO batches_batch (id, tenant_id, api_key_id, endpoint, input_file_id, state, metadata, total, completed, failed,
        output_expires_after_s, created_at, expires_at, holder)
    VALUES (%s, %s, %s, %s, %s, 'validating', %s::jsonb, 0, 0, 0, %s, now(), now() + %s * interval '1 second', '')
    RETURNING *
"""
BATCH = "SELECT * FROM batches_batch WHERE tenant_id = %s AND id = %s"
BATCHES = "SELECT * FROM batches_batch WHERE tenant_id = %(tenant)s"
CANCEL = """
    UPDATE batches_batch SET state = 'cancelling', cancelling_at = now() WHERE tenant_id = %s AND id = %s AND state = ANY(%s)
    RETURNING *
"""

# Batches, as they are run ----------------------------------------------------------------------------

# Each tenant's oldest first, then each tenant's second: many batches of one do not keep another's waiting.
CLAIM = f"""
    UPDATE batches_batch SET holder = %(holder)s, held_until = now() + %(lease_s)s * interval '1 second' WHERE id IN (
        SELECT b.id FROM batches_batch b JOIN (
            SELECT id, row_number() OVER (PARTITION BY tenant_id ORDER BY id) AS nth FROM batches_batch WHERE state IN {_OPEN}
        ) r ON r.id = b.id
        WHERE b.state IN {_OPEN} AND (b.held_until IS NULL OR b.held_until < now())
        ORDER BY r.nth, b.id LIMIT %(most)s FOR UPDATE OF b SKIP LOCKED)
"""
RENEW = f"""
    UPDATE batches_batch SET held_until = now() + %s * interval '1 second' WHERE holder = %s AND state IN {_OPEN}
"""
RELEASE = f"UPDATE batches_batch SET holder = '', held_until = NULL WHERE holder = %s AND state IN {_OPEN}"
# `nth` of `sharing`: the tenant's batches in progress share what it may have in flight.
HELD = f"""
    SELECT b.*, coalesce(r.nth, 0)::int AS nth, coalesce(r.sharing, 1)::int AS sharing, b.expires_at <= now() AS is_over
    FROM batches_batch b LEFT JOIN (
        SELECT id, row_number() OVER (PARTITION BY tenant_id ORDER BY id) - 1 AS nth,
               count(*) OVER (PARTITION BY tenant_id) AS sharing
        FROM batches_batch WHERE state = 'in_progress'
    ) r ON r.id = b.id
    WHERE b.holder = %s AND b.state IN {_OPEN} ORDER BY b.id
"""
ADD_LINES = """
    INSERT INTO batches_line (id, tenant_id, batch_id, number, "offset", length, custom_id, state, model, task_count, failure)
    SELECT x.id, b.tenant_id, b.id, x.number, x."offset", x.length, x.custom_id,
           CASE WHEN x.failure IS NULL THEN 'waiting' ELSE 'ended' END, '', 1, x.failure
    FROM jsonb_to_recordset(%s::jsonb) AS x(id uuid, number int, "offset" bigint, length int, custom_id text, failure jsonb)
    JOIN batches_batch b ON b.id = %s AND b.holder = %s AND b.state = 'validating'
    ON CONFLICT DO NOTHING
"""
BEGIN = """
    UPDATE batches_batch b SET state = 'in_progress', in_progress_at = now(), total = n.total, failed = n.failed
    FROM (SELECT count(*) AS total, count(*) FILTER (WHERE state = 'ended') AS failed FROM batches_line WHERE batch_id = %s) n
    WHERE b.id = %s AND b.holder = %s AND b.state = ANY(%s)
"""
FAIL = """
    UPDATE batches_batch SET state = 'failed', ended_at = now(), errors = %s::jsonb, holder = '', held_until = NULL
    WHERE id = %s AND holder = %s AND state = ANY(%s) RETURNING *
"""
DELETE_SOME_LINES = """
    WITH lines AS (
        DELETE FROM batches_line WHERE id IN (SELECT id FROM batches_line WHERE batch_id = %s ORDER BY number LIMIT 1000)
        RETURNING id
    ), further AS (DELETE FROM batches_furthertask WHERE line_id IN (SELECT id FROM lines))
    SELECT count(*)::int AS lines FROM lines
"""
# Later than that they are the daily job's (`batches.retention`).
ENDED_WITH_LINES = """
    SELECT id FROM batches_batch b WHERE ended_at > now() - interval '7 days'
      AND EXISTS (SELECT 1 FROM batches_line l WHERE l.batch_id = b.id) ORDER BY ended_at LIMIT 100
"""
# A batch may have its share only when those that had more before it began have let some of it go. `room` is in tasks, and a line
# takes one at least. `under_way`: tasks of the batch.
NEXT_LINES = """
    WITH taken AS (
        SELECT coalesce(sum(task_count) FILTER (WHERE batch_id = %(batch)s), 0)::int AS mine,
               coalesce(sum(task_count), 0)::int AS whole
        FROM batches_line WHERE tenant_id = %(tenant)s AND state = 'running'
    ), free AS (
        SELECT mine AS under_way, greatest(0, least(%(share)s - mine, %(whole)s - whole)) AS room FROM taken
    )
    SELECT id, number, "offset", length, custom_id, (SELECT room FROM free) AS room, (SELECT under_way FROM free) AS under_way
    FROM batches_line WHERE batch_id = %(batch)s AND state = 'waiting' ORDER BY number LIMIT (SELECT room FROM free)
"""
# What a line was found to be is written while it waits, once; a batch's counts move with its lines, in one statement.
SUBMITTED = """
    WITH said AS (
        SELECT * FROM jsonb_to_recordset(%s::jsonb) AS x(
            id uuid, task uuid, further jsonb, model text, asked jsonb, failure jsonb)
    ), moved AS (
        UPDATE batches_line l SET task_id = s.task, model = coalesce(s.model, ''), asked = s.asked, failure = s.failure,
            task_count = 1 + coalesce(jsonb_array_length(s.further), 0),
            state = CASE WHEN s.failure IS NULL THEN 'running' ELSE 'ended' END
        FROM said s WHERE l.id = s.id AND l.state = 'waiting' RETURNING l.id, l.tenant_id, l.batch_id, l.state, s.further
    ), further AS (
        INSERT INTO batches_furthertask (id, tenant_id, line_id, number, task_id)
        SELECT gen_random_uuid(), m.tenant_id, m.id, t.number + 1, t.value::uuid
        FROM moved m CROSS JOIN LATERAL jsonb_array_elements_text(m.further) WITH ORDINALITY AS t(value, number)
        WHERE m.further IS NOT NULL
    )
    UPDATE batches_batch b SET failed = b.failed + n.failed
    FROM (SELECT batch_id, count(*) AS failed FROM moved WHERE state = 'ended' GROUP BY batch_id) n WHERE b.id = n.batch_id
"""
# By its idempotency keys: what a line's tasks are, though its request would be read otherwise now.
TASKS_BY_KEY = "SELECT id, idempotency_key FROM agents_task WHERE tenant_id = %s AND idempotency_key = ANY(%s)"


def _answered(task: str) -> str:
    """An answer that its limit cut off before it had its form is an answer (agents.faces.openai.outcome.has_answer)."""
    return f"""({task}.state = 'succeeded'
            OR coalesce({task}.error->>'code' = 'invalid_output' AND {task}.finish_reason = 'length', false))"""


def _no_further(which: str) -> str:
    """Whether no further task of the line `l` is so. By a count, line by line: `EXISTS` could become a join with all of them."""
    return f"""(l.task_count = 1 OR 0 = (
            SELECT count(*) FROM batches_furthertask k JOIN agents_task o ON o.id = k.task_id
            WHERE k.line_id = l.id AND {which}))"""


# A line ends with the last of its tasks, and is completed if each has an answer.
COLLECT = f"""
    WITH ended AS (
        UPDATE batches_line l SET state = 'ended' FROM batches_batch h, agents_task t
        WHERE h.holder = %s AND h.state IN {_OPEN} AND l.tenant_id = h.tenant_id AND l.batch_id = h.id AND l.state = 'running'
          AND t.id = l.task_id AND t.finished_at IS NOT NULL AND {_no_further("o.finished_at IS NULL")}
        RETURNING l.batch_id, {_answered("t")} AND {_no_further(f"NOT {_answered('o')}")} AS succeeded
    )
    UPDATE batches_batch b SET completed = b.completed + n.completed, failed = b.failed + n.failed
    FROM (SELECT batch_id, count(*) FILTER (WHERE succeeded) AS completed, count(*) FILTER (WHERE NOT succeeded) AS failed
          FROM ended GROUP BY batch_id) n
    WHERE b.id = n.batch_id RETURNING b.id
"""
END_WAITING = """
    WITH ended AS (
        UPDATE batches_line SET state = 'ended', failure = %s::jsonb WHERE batch_id = %s AND state = 'waiting' RETURNING batch_id
    )
    UPDATE batches_batch SET failed = failed + (SELECT count(*) FROM ended) WHERE id = %s
"""
RUNNING_TURNS = """
    SELECT t.id AS task, t.tenant_id AS tenant, p.slug AS pool, u.id AS turn
    FROM batches_line l
    JOIN LATERAL (
        SELECT l.task_id AS id UNION ALL SELECT k.task_id FROM batches_furthertask k WHERE k.line_id = l.id
    ) a ON true
    JOIN agents_task t ON t.id = a.id JOIN orchestrator_pool p ON p.id = t.pool_id
    JOIN LATERAL (SELECT id FROM agents_turn WHERE task_id = t.id ORDER BY number DESC LIMIT 1) u ON true
    WHERE l.batch_id = %s AND l.state = 'running' AND t.finished_at IS NULL
"""
FINALIZE = """
    UPDATE batches_batch SET state = 'finalizing', finalizing_at = now()
    WHERE id = %s AND holder = %s AND state = ANY(%s) AND completed + failed = total
"""
# A row for each task of each line, the lines whole, as many as there is room for in memory, and one at least. A length asks for no
# text, so what is too much is never read; what is told again of a request is as long as its line, at most.
RESULTS = """
    WITH lines AS (
        SELECT id, number, length, custom_id, model, asked, failure, task_id FROM batches_line
        WHERE batch_id = %(batch)s AND number > %(after)s AND state = 'ended' ORDER BY number LIMIT %(lines)s
    ), results AS (
        SELECT l.id, l.number, l.custom_id, l.model, l.asked, l.failure, a.nth, t.id AS task, t.state, t.output, t.logprobs,
               t.tool_calls, t.finish_reason, t.error, t.prompt_tokens, t.completion_tokens, t.cached_tokens, t.created_at,
               t.finished_at,
               t.conversation_id AS conversation, t.metadata, t.params, t.options,
               coalesce(octet_length(t.output), 0) + coalesce(octet_length(t.logprobs), 0)
                   + CASE WHEN l.asked IS NULL THEN 0 ELSE l.length END AS bytes
        FROM lines l CROSS JOIN LATERAL (
            SELECT l.task_id, 1 AS nth UNION ALL SELECT k.task_id, k.number FROM batches_furthertask k WHERE k.line_id = l.id
        ) a LEFT JOIN agents_task t ON t.id = a.task_id
    ), placed AS (
        SELECT *, sum(bytes) OVER (ORDER BY number) - sum(bytes) OVER (PARTITION BY number) AS before FROM results
    )
    SELECT * FROM placed WHERE before < %(bytes)s ORDER BY number, nth
"""
END = """
    UPDATE batches_batch SET state = %s, ended_at = now(), output_file_id = %s, error_file_id = %s, holder = '', held_until = NULL
    WHERE id = %s AND holder = %s AND state = ANY(%s) RETURNING *
"""
