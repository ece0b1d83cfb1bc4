"""Of a JSON column that is hidden as `column.*` the members whose names say that they are secret are hidden, however deep."""

from __future__ import annotations

from importlib import import_module

from django.db import migrations

BEFORE = import_module("audit.migrations.0002_append_only").SHOWN.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")

# The names are those of orchestrator.masking.
BY_NAME = r"""
CREATE FUNCTION audit_without_secrets(one jsonb, named text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN CASE jsonb_typeof(one)
        WHEN 'object' THEN
            (SELECT coalesce(jsonb_object_agg(key, audit_without_secrets(value, key)), '{}') FROM jsonb_each(one))
        WHEN 'array' THEN
            (SELECT coalesce(jsonb_agg(audit_without_secrets(value, named) ORDER BY place), '[]')
             FROM jsonb_array_elements(one) WITH ORDINALITY AS member (value, place))
        WHEN 'string' THEN
            CASE WHEN one <> '""' AND named ~* '(token|key|secret|password|passwd|credentials?|auth)(_|$)'
            THEN '"(hidden)"' ELSE one END
        ELSE one
    END;
END $$;
"""
SHOWN = BEFORE.replace(
    "        IF coalesce",
    """        IF place[2] = '*' THEN
            IF one ? place[1] THEN one := jsonb_set(one, place[1:1], audit_without_secrets(one -> place[1], '')); END IF;
        ELSIF coalesce""",
)


class Migration(migrations.Migration):
    dependencies = [("audit", "0005_shell")]

    operations = [
        migrations.RunSQL(BY_NAME, "DROP FUNCTION audit_without_secrets(jsonb, text)"),
        migrations.RunSQL(SHOWN, BEFORE),
    ]
