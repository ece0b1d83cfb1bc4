"""Tells the web processes when a key or a tenant changes, so that they may remember both."""

from __future__ import annotations

from django.db import migrations

FUNCTION = """
CREATE FUNCTION opsite_directory_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('opsite_directory', TG_TABLE_NAME);
    RETURN NULL;
END $$;
CREATE TRIGGER directory_changed AFTER INSERT OR DELETE OR UPDATE OF digest, scopes, expires_at, revoked_at, tenant_id
    ON tenants_apikey FOR EACH STATEMENT EXECUTE FUNCTION opsite_directory_changed();
CREATE TRIGGER directory_changed AFTER INSERT OR DELETE OR UPDATE
    ON tenants_tenant FOR EACH STATEMENT EXECUTE FUNCTION opsite_directory_changed();
"""
UNDO = """
DROP TRIGGER directory_changed ON tenants_apikey;
DROP TRIGGER directory_changed ON tenants_tenant;
DROP FUNCTION opsite_directory_changed();
"""


class Migration(migrations.Migration):
    """Triggers, one statement each."""

    dependencies = [("tenants", "0001_initial")]
    operations = [migrations.RunSQL(FUNCTION, UNDO)]
