"""Entries are added, never changed; and the trigger function that makes one of a watched row."""

from __future__ import annotations

from django.db import migrations

APPEND_ONLY = """
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is added to, never changed' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit_entry FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_append_only_truncate BEFORE TRUNCATE ON audit_entry FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
"""

# What of a row may be shown: hidden columns, or members of JSON columns (`request.headers`), say only that they are there.
SHOWN = """
CREATE FUNCTION audit_shown(one jsonb, hidden text[], ignored text[]) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    place text[];
    way text;
BEGIN
    one := one - ignored;
    FOREACH way IN ARRAY hidden LOOP
        place := string_to_array(way, '.');
        IF coalesce(one #> place, 'null') NOT IN ('null', '""', '{}', '[]') THEN
            one := jsonb_set(one, place, '"(hidden)"');
        END IF;
    END LOOP;
    RETURN one;
END $$;
"""

NOTE = """
CREATE FUNCTION audit_note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    acting jsonb := current_setting('opsite.acting')::jsonb;
    hidden text[] := TG_ARGV[1]::text[];
    ignored text[] := TG_ARGV[2]::text[];
    was jsonb := CASE WHEN TG_OP = 'INSERT' THEN NULL ELSE to_jsonb(OLD) END;
    becomes jsonb := CASE WHEN TG_OP = 'DELETE' THEN NULL ELSE to_jsonb(NEW) END;
    one jsonb := coalesce(becomes, was);
    changed text[];
    done text := CASE TG_OP WHEN 'INSERT' THEN 'add' WHEN 'UPDATE' THEN 'change' ELSE 'delete' END;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        SELECT array_agg(key) INTO changed FROM jsonb_object_keys(becomes) AS key
        WHERE was -> key IS DISTINCT FROM becomes -> key AND NOT key = ANY(ignored);
        IF changed IS NULL THEN RETURN NULL; END IF;
    ELSE
        SELECT array_agg(key) INTO changed FROM jsonb_object_keys(one) AS key;
    END IF;
    INSERT INTO audit_entry (at, actor_kind, actor, action, object_kind, object_id, object_name, tenant_id, before, after, address)
    VALUES (
        clock_timestamp(), acting ->> 'kind', acting ->> 'actor', split_part(TG_ARGV[0], '.', 2) || '.' || done, TG_ARGV[0],
        coalesce(one ->> 'id', ''),
        left(coalesce(one ->> 'slug', one ->> 'name', one ->> 'username', one ->> 'title', one ->> 'id', ''), 300),
        CASE TG_ARGV[0] WHEN 'tenants.tenant' THEN (one ->> 'id')::uuid ELSE (one ->> 'tenant_id')::uuid END,
        (SELECT jsonb_object_agg(key, value) FROM jsonb_each(audit_shown(was, hidden, ignored)) WHERE key = ANY(changed)),
        (SELECT jsonb_object_agg(key, value) FROM jsonb_each(audit_shown(becomes, hidden, ignored)) WHERE key = ANY(changed)),
        (acting ->> 'address')::inet
    );
    RETURN NULL;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]

    operations = [
        migrations.RunSQL(
            APPEND_ONLY,
            "DROP TRIGGER audit_append_only ON audit_entry; DROP TRIGGER audit_append_only_truncate ON audit_entry; DROP FUNCTION audit_refuse()",
        ),
        migrations.RunSQL(SHOWN, "DROP FUNCTION audit_shown(jsonb, text[], text[])"),
        migrations.RunSQL(NOTE, "DROP FUNCTION audit_note() CASCADE"),
    ]
