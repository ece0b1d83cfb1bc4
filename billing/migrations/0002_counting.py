"""Ended turns and tasks are counted in the transaction in which they end, whoever writes it; prices in force are history."""

from __future__ import annotations

from django.db import migrations

# A turn is counted when its `finished_at` is first set, which happens once: outcomes are written over open states only. Rows are
# locked in the order of their key, and all rows of a pool belong to that pool's recorder.
# Products by 0.000001 are exact in `numeric`; a quotient by 1000000 would be rounded to 16 digits.
COUNT_TURNS = """
CREATE FUNCTION billing_count_turns(ids uuid[]) RETURNS void LANGUAGE sql AS $$
    WITH ended AS (
        SELECT u.tenant_id, t.api_key_id, t.agent_id, t.pool_id, u.worker, u.finished_at,
               u.prompt_tokens::bigint AS prompt, u.completion_tokens::bigint AS completion,
               least(u.cached_tokens, u.prompt_tokens)::bigint AS cached,
               least(greatest(coalesce(u.claimed_at, u.finished_at), u.finished_at - interval '7 days'), u.finished_at) AS began
        FROM agents_turn u JOIN agents_task t ON t.id = u.task_id
        WHERE u.id = ANY(ids) AND u.finished_at IS NOT NULL
    ), served AS (
        INSERT INTO billing_servedhour AS s (tenant_id, pool_id, worker, hour, prompt_tokens, completion_tokens)
        SELECT e.tenant_id, e.pool_id, e.worker, p.hour, sum(e.prompt * p.part), sum(e.completion * p.part)
        FROM ended e CROSS JOIN LATERAL (
            SELECT h.hour, CASE WHEN e.began = e.finished_at THEN 1 ELSE
                extract(epoch FROM least(e.finished_at, h.hour + interval '1 hour') - greatest(e.began, h.hour))
                / extract(epoch FROM e.finished_at - e.began) END AS part
            FROM generate_series(date_trunc('hour', e.began, 'UTC'), date_trunc('hour', e.finished_at, 'UTC'),
                                 interval '1 hour') AS h(hour)
        ) p
        WHERE e.worker <> '' AND e.prompt + e.completion > 0 AND p.part > 0
        GROUP BY e.tenant_id, e.pool_id, e.worker, p.hour ORDER BY p.hour, e.worker, e.pool_id, e.tenant_id
        ON CONFLICT (hour, worker, pool_id, tenant_id) DO UPDATE SET
            prompt_tokens = s.prompt_tokens + excluded.prompt_tokens,
            completion_tokens = s.completion_tokens + excluded.completion_tokens
    )
    INSERT INTO billing_usagehour AS h
        (tenant_id, hour, pool_id, agent_id, api_key_id, turns, prompt_tokens, cached_tokens, completion_tokens, cost)
    SELECT e.tenant_id, date_trunc('hour', e.finished_at, 'UTC') AS hour, e.pool_id, e.agent_id, e.api_key_id, count(*),
           sum(e.prompt), sum(e.cached), sum(e.completion),
           sum(0.000001 * coalesce((e.prompt - e.cached) * c.input + e.cached * c.cached_input + e.completion * c.output, 0))
    FROM ended e LEFT JOIN LATERAL (
        SELECT p.input, p.cached_input, p.output FROM billing_price p
        WHERE p.pool_id = e.pool_id AND p.valid_from <= e.finished_at ORDER BY p.valid_from DESC LIMIT 1
    ) c ON true
    GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT (tenant_id, hour, pool_id, agent_id, api_key_id) DO UPDATE SET
        turns = h.turns + excluded.turns, prompt_tokens = h.prompt_tokens + excluded.prompt_tokens,
        cached_tokens = h.cached_tokens + excluded.cached_tokens,
        completion_tokens = h.completion_tokens + excluded.completion_tokens, cost = h.cost + excluded.cost
$$;
"""

COUNT_TASKS = """
CREATE FUNCTION billing_count_tasks(ids uuid[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO billing_usagehour AS h
        (tenant_id, hour, pool_id, agent_id, api_key_id, requests, succeeded, failed, cancelled, expired)
    SELECT t.tenant_id, date_trunc('hour', t.finished_at, 'UTC') AS hour, t.pool_id, t.agent_id, t.api_key_id, count(*),
           count(*) FILTER (WHERE t.state = 'succeeded'), count(*) FILTER (WHERE t.state = 'failed'),
           count(*) FILTER (WHERE t.state = 'cancelled'), count(*) FILTER (WHERE t.state = 'expired')
    FROM agents_task t WHERE t.id = ANY(ids) AND t.finished_at IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT (tenant_id, hour, pool_id, agent_id, api_key_id) DO UPDATE SET
        requests = h.requests + excluded.requests, succeeded = h.succeeded + excluded.succeeded,
        failed = h.failed + excluded.failed, cancelled = h.cancelled + excluded.cancelled,
        expired = h.expired + excluded.expired
$$;
"""

# One call for all rows of a statement. Rows that are inserted as ended (an import) are rare, and counted one by one.
TRIGGERS = """
CREATE FUNCTION billing_turns_ended() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE ended uuid[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM billing_count_turns(ARRAY[NEW.id]);
        RETURN NULL;
    END IF;
    SELECT array_agg(a.id) INTO ended FROM now_rows a JOIN old_rows b ON b.id = a.id
    WHERE a.finished_at IS NOT NULL AND b.finished_at IS NULL;
    IF ended IS NOT NULL THEN
        PERFORM billing_count_turns(ended);
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION billing_tasks_ended() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE ended uuid[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM billing_count_tasks(ARRAY[NEW.id]);
        RETURN NULL;
    END IF;
    SELECT array_agg(a.id) INTO ended FROM now_rows a JOIN old_rows b ON b.id = a.id
    WHERE a.finished_at IS NOT NULL AND b.finished_at IS NULL;
    IF ended IS NOT NULL THEN
        PERFORM billing_count_tasks(ended);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER billing_count AFTER UPDATE ON agents_turn REFERENCING OLD TABLE AS old_rows NEW TABLE AS now_rows
    FOR EACH STATEMENT EXECUTE FUNCTION billing_turns_ended();
CREATE TRIGGER billing_count_new AFTER INSERT ON agents_turn
    FOR EACH ROW WHEN (NEW.finished_at IS NOT NULL) EXECUTE FUNCTION billing_turns_ended();
CREATE TRIGGER billing_count AFTER UPDATE ON agents_task REFERENCING OLD TABLE AS old_rows NEW TABLE AS now_rows
    FOR EACH STATEMENT EXECUTE FUNCTION billing_tasks_ended();
CREATE TRIGGER billing_count_new AFTER INSERT ON agents_task
    FOR EACH ROW WHEN (NEW.finished_at IS NOT NULL) EXECUTE FUNCTION billing_tasks_ended();
"""
NO_TRIGGERS = """
DROP TRIGGER billing_count ON agents_turn;
DROP TRIGGER billing_count_new ON agents_turn;
DROP TRIGGER billing_count ON agents_task;
DROP TRIGGER billing_count_new ON agents_task;
DROP FUNCTION billing_turns_ended();
DROP FUNCTION billing_tasks_ended();
"""

PRICES = """
CREATE FUNCTION billing_price_is_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.valid_from <= now() THEN
        RAISE EXCEPTION 'a price that was in force is never changed: add one that is valid from now on'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER price_is_history BEFORE UPDATE OR DELETE ON billing_price
    FOR EACH ROW EXECUTE FUNCTION billing_price_is_history();
"""
NO_PRICES = """
DROP TRIGGER price_is_history ON billing_price;
DROP FUNCTION billing_price_is_history();
"""

WHAT_IS_THERE = """
SELECT billing_count_turns(array_agg(id)) FROM agents_turn WHERE finished_at IS NOT NULL;
SELECT billing_count_tasks(array_agg(id)) FROM agents_task WHERE finished_at IS NOT NULL;
"""
NOTHING = "DELETE FROM billing_usagehour; DELETE FROM billing_servedhour;"


class Migration(migrations.Migration):
    """Functions, triggers, and what had ended before."""

    dependencies = [("billing", "0001_initial"), ("agents", "0009_cached_tokens")]
    operations = [
        migrations.RunSQL(COUNT_TURNS, "DROP FUNCTION billing_count_turns(uuid[])"),
        migrations.RunSQL(COUNT_TASKS, "DROP FUNCTION billing_count_tasks(uuid[])"),
        migrations.RunSQL(WHAT_IS_THERE, NOTHING),
        migrations.RunSQL(TRIGGERS, NO_TRIGGERS),
        migrations.RunSQL(PRICES, NO_PRICES),
    ]
