"""The prices of a pool's tokens stand in the pool's row, too: in order of time, amounts as text, written by triggers alone."""

from __future__ import annotations

from django.db import migrations

# Whoever writes the column writes what the prices say, so a form that saves a whole row cannot put back what has changed meanwhile.
TRIGGERS = """
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
UNDO = """
DROP TRIGGER price_changed ON billing_price;
DROP FUNCTION billing_price_changed();
DROP TRIGGER prices_of_pool ON orchestrator_pool;
DROP FUNCTION billing_prices_of_pool();
"""


class Migration(migrations.Migration):
    """Two triggers, and what is there."""

    dependencies = [("billing", "0002_counting"), ("orchestrator", "0017_token_prices")]
    operations = [migrations.RunSQL(TRIGGERS, UNDO)]
