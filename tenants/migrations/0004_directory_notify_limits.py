"""The web processes hear of a key's limits, too."""

from __future__ import annotations

from django.db import migrations

TRIGGER = """
DROP TRIGGER directory_changed ON tenants_apikey;
CREATE TRIGGER directory_changed AFTER INSERT OR DELETE OR UPDATE OF digest, scopes, expires_at, revoked_at, tenant_id,
    requests_per_minute, tokens_per_minute, tokens_per_month
    ON tenants_apikey FOR EACH STATEMENT EXECUTE FUNCTION opsite_directory_changed();
"""
UNDO = """
DROP TRIGGER directory_changed ON tenants_apikey;
CREATE TRIGGER directory_changed AFTER INSERT OR DELETE OR UPDATE OF digest, scopes, expires_at, revoked_at, tenant_id
    ON tenants_apikey FOR EACH STATEMENT EXECUTE FUNCTION opsite_directory_changed();
"""


class Migration(migrations.Migration):
    """One trigger, made anew."""

    dependencies = [("tenants", "0003_limits")]
    operations = [migrations.RunSQL(TRIGGER, UNDO)]
