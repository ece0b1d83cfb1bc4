"""Prices stand in the pools' rows, charged budgets are told of, and a turn that was taken over is each worker's by its part."""

from __future__ import annotations

from importlib import import_module

from django.db import migrations

# In order of time, amounts as text, written by triggers alone: whoever writes the column writes what the prices say, so a form that
# saves a whole row cannot put back what has changed meanwhile.
PRICES = """
CREATE FUNCTION billing_prices_of_pool() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.token_prices := coalesce((
        SELECT jsonb_agg(jsonb_build_object('valid_from', p.valid_from, 'input', p.input::text,
            'cached_input', p.cached_input::text, 'output', p.output::text) ORDER BY p.valid_from)
        FROM billing_price p WHERE p.pool_id = NEW.id), '[]');
    RETURN NEW;
END $$;
CREATE TRIGGER prices_of_pool BEFORE INSERT OR UPDATE OF token_prices ON orchestrator_pool
    FOR EACH ROW EXECUTE FUNCTION billing_prices_of_pool();
CREATE FUNCTION billing_price_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        UPDATE orchestrator_pool SET token_prices = '[]' WHERE id = OLD.pool_id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        UPDATE orchestrator_pool SET token_prices = '[]' WHERE id = NEW.pool_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER price_changed AFTER INSERT OR UPDATE OR DELETE ON billing_price
    FOR EACH ROW EXECUTE FUNCTION billing_price_changed();
UPDATE orchestrator_pool SET token_prices = '[]';
"""
NO_PRICES = """
DROP TRIGGER price_changed ON billing_price;
DROP FUNCTION billing_price_changed();
DROP TRIGGER prices_of_pool ON orchestrator_pool;
DROP FUNCTION billing_prices_of_pool();
"""

# Each attempt of a turn with what it read and wrote. `tokens` of the log are those that all attempts had streamed when one was given
# up; an attempt reads the prompt and what was streamed before it. One that left no token may have read nothing: it counts as such.
# The attempt that ended the turn has no `tokens`; where a turn ended while it waited for another worker there is none.
ATTEMPTS = """
CREATE FUNCTION billing_attempts(log jsonb, prompt bigint, completion bigint, holder text, claimed timestamptz, finished timestamptz)
RETURNS TABLE (worker text, began timestamptz, ended timestamptz, read bigint, wrote bigint) LANGUAGE sql IMMUTABLE AS $$
    WITH known AS (
        SELECT key::int AS number, value->>'worker' AS worker, (value->>'tokens')::bigint AS tokens,
               to_timestamp((value->>'claimed_ms')::float / 1000) AS began, to_timestamp((value->>'ended_ms')::float / 1000) AS ended
        FROM jsonb_each(coalesce(log, '{}'))
    ), counted AS (
        SELECT k.*, coalesce(max(tokens) OVER (ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before,
               max(number) OVER () AS last
        FROM known k
    )
    SELECT worker, began, coalesce(ended, finished), CASE WHEN tokens IS NULL OR tokens > before THEN prompt + before ELSE 0 END,
           greatest(0, coalesce(tokens, completion) - before)
    FROM counted WHERE tokens IS NOT NULL OR number = last
    UNION ALL
    SELECT holder, coalesce(claimed, finished), finished, prompt, completion WHERE log IS NULL
$$;
"""
NO_ATTEMPTS = "DROP FUNCTION billing_attempts(jsonb, bigint, bigint, text, timestamptz, timestamptz)"

# As in 0002, but for `served`, which goes by attempts, and the words to who looks after budgets: one per tenant and transaction.
COUNT_TURNS = """
CREATE OR REPLACE FUNCTION billing_count_turns(ids uuid[]) RETURNS void LANGUAGE sql AS $$
    WITH ended AS (
        SELECT u.tenant_id, t.api_key_id, t.agent_id, t.pool_id, u.worker, u.claimed_at, u.finished_at, u.attempt_log,
               u.prompt_tokens::bigint AS prompt, u.completion_tokens::bigint AS completion,
               least(u.cached_tokens, u.prompt_tokens)::bigint AS cached
        FROM agents_turn u JOIN agents_task t ON t.id = u.task_id
        WHERE u.id = ANY(ids) AND u.finished_at IS NOT NULL
    ), attempts AS (
        SELECT e.tenant_id, e.pool_id, a.worker, a.read, a.wrote, a.ended,
               least(greatest(a.began, a.ended - interval '7 days'), a.ended) AS began
        FROM ended e CROSS JOIN LATERAL
            billing_attempts(e.attempt_log, e.prompt, e.completion, e.worker, e.claimed_at, e.finished_at) a
        WHERE a.worker <> '' AND a.read + a.wrote > 0
    ), served AS (
        INSERT INTO billing_servedhour AS s (tenant_id, pool_id, worker, hour, prompt_tokens, completion_tokens)
        SELECT e.tenant_id, e.pool_id, e.worker, p.hour, sum(e.read * p.part), sum(e.wrote * p.part)
        FROM attempts e CROSS JOIN LATERAL (
            SELECT h.hour, CASE WHEN e.began = e.ended THEN 1 ELSE
                extract(epoch FROM least(e.ended, h.hour + interval '1 hour') - greatest(e.began, h.hour))
                / extract(epoch FROM e.ended - e.began) END AS part
            FROM generate_series(date_trunc('hour', e.began, 'UTC'), date_trunc('hour', e.ended, 'UTC'),
                                 interval '1 hour') AS h(hour)
        ) p
        WHERE p.part > 0
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
        completion_tokens = h.completion_tokens + excluded.completion_tokens, cost = h.cost + excluded.cost;
    SELECT pg_notify('opsite_budgets', b.tenant_id::text) FROM billing_budget b
    WHERE b.tenant_id IN (SELECT u.tenant_id FROM agents_turn u WHERE u.id = ANY(ids));
$$;
"""
COUNT_TURNS_BEFORE = import_module("billing.migrations.0002_counting").COUNT_TURNS.replace("CREATE", "CREATE OR REPLACE", 1)


class Migration(migrations.Migration):
    """Triggers and functions, and the prices that are there."""

    dependencies = [
        ("billing", "0002_counting"),
        ("orchestrator", "0017_token_prices"),
        ("agents", "0012_money_and_attempts_of_turns"),
    ]
    operations = [
        migrations.RunSQL(PRICES, NO_PRICES),
        migrations.RunSQL(ATTEMPTS, NO_ATTEMPTS),
        migrations.RunSQL(COUNT_TURNS, COUNT_TURNS_BEFORE),
    ]
