"""Turns are counted by pool and minute, with their waits, in the transaction in which they are claimed or end, whoever writes it."""

from __future__ import annotations

from django.db import migrations

# A turn's claim and its end are each written once, so each is counted once. Rows are locked in the order of their key. The bounds of
# the buckets are those of `orchestrator.history.waits`.
COUNT = """
CREATE FUNCTION agents_count_turns_by_minute() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO orchestrator_turnminute AS m
        (pool_id, minute, claimed, tasks_begun, waits, longest_wait_ms, ended, failed, expired, prompt_tokens, completion_tokens)
    WITH moved AS (
        SELECT t.pool_id, a.number, a.claimed_at, a.finished_at, a.state, a.prompt_tokens, a.completion_tokens,
               a.claimed_at IS NOT NULL AND b.claimed_at IS NULL AS is_claimed,
               a.finished_at IS NOT NULL AND b.finished_at IS NULL AS is_ended,
               greatest(0, extract(epoch FROM a.claimed_at - a.queued_at))::float AS wait_s
        FROM now_rows a JOIN old_rows b ON b.id = a.id JOIN agents_task t ON t.id = a.task_id
        WHERE (a.claimed_at IS NOT NULL AND b.claimed_at IS NULL) OR (a.finished_at IS NOT NULL AND b.finished_at IS NULL)
    ), waited AS (
        SELECT pool_id, date_trunc('minute', claimed_at) AS minute, count(*) AS turns,
               count(*) FILTER (WHERE number = 1) AS tasks, max(wait_s) AS longest_s,
               CASE WHEN wait_s < 0.01 THEN 0 ELSE least(84, 1 + floor(4 * ln(wait_s / 0.01) / ln(2)))::int END AS bucket
        FROM moved WHERE is_claimed GROUP BY 1, 2, 6
    ), claimed AS (
        SELECT pool_id, minute, sum(turns) AS turns, sum(tasks) AS tasks, max(longest_s) AS longest_s,
               ARRAY(SELECT coalesce(sum(w.turns), 0)::int FROM generate_series(0, max(o.bucket)) AS g(bucket)
                     LEFT JOIN waited w ON w.pool_id = o.pool_id AND w.minute = o.minute AND w.bucket = g.bucket
                     GROUP BY g.bucket ORDER BY g.bucket) AS waits
        FROM waited o GROUP BY 1, 2
    ), ended AS (
        SELECT pool_id, date_trunc('minute', finished_at) AS minute, count(*) AS turns,
               count(*) FILTER (WHERE state = 'failed') AS failed, count(*) FILTER (WHERE state = 'expired') AS expired,
               sum(prompt_tokens) AS prompt_tokens, sum(completion_tokens) AS completion_tokens
        FROM moved WHERE is_ended GROUP BY 1, 2
    )
    SELECT pool_id, minute, coalesce(c.turns, 0), coalesce(c.tasks, 0), coalesce(c.waits, '{}'),
           coalesce(round(c.longest_s * 1000), 0), coalesce(e.turns, 0), coalesce(e.failed, 0), coalesce(e.expired, 0),
           coalesce(e.prompt_tokens, 0), coalesce(e.completion_tokens, 0)
    FROM claimed c FULL JOIN ended e USING (pool_id, minute) ORDER BY pool_id, minute
    ON CONFLICT (pool_id, minute) DO UPDATE SET
        claimed = m.claimed + excluded.claimed, tasks_begun = m.tasks_begun + excluded.tasks_begun,
        waits = ARRAY(SELECT coalesce(x.had, 0) + coalesce(x.came, 0)
                      FROM unnest(m.waits, excluded.waits) WITH ORDINALITY AS x(had, came, bucket) ORDER BY x.bucket),
        longest_wait_ms = greatest(m.longest_wait_ms, excluded.longest_wait_ms),
        ended = m.ended + excluded.ended, failed = m.failed + excluded.failed, expired = m.expired + excluded.expired,
        prompt_tokens = m.prompt_tokens + excluded.prompt_tokens,
        completion_tokens = m.completion_tokens + excluded.completion_tokens;
    RETURN NULL;
END $$;
CREATE TRIGGER count_by_minute AFTER UPDATE ON agents_turn REFERENCING OLD TABLE AS old_rows NEW TABLE AS now_rows
    FOR EACH STATEMENT EXECUTE FUNCTION agents_count_turns_by_minute();
"""
UNCOUNT = """
DROP TRIGGER count_by_minute ON agents_turn;
DROP FUNCTION agents_count_turns_by_minute();
"""


class Migration(migrations.Migration):
    """A trigger. What ended before it is not counted: the history of minutes begins here."""

    dependencies = [
        ("agents", "0017_task_trace"),
        ("orchestrator", "0019_minutes_of_fleet_and_turns"),
    ]
    operations = [migrations.RunSQL(COUNT, UNCOUNT)]
