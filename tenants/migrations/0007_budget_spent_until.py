"""Tenants and keys whose budget of money is spent: the web processes hear of it."""

from __future__ import annotations

from django.db import migrations, models

# As in 0005_queue_limits_of_keys, with one column more. The tenants' own trigger names no columns.
TRIGGER = """
DROP TRIGGER directory_changed ON tenants_apikey;
CREATE TRIGGER directory_changed AFTER INSERT OR DELETE OR UPDATE OF digest, scopes, expires_at, revoked_at, tenant_id,
    requests_per_minute, tokens_per_minute, tokens_per_month, max_waiting, max_running, budget_spent_until
    ON tenants_apikey FOR EACH STATEMENT EXECUTE FUNCTION opsite_directory_changed();
"""
UNDO = """
DROP TRIGGER directory_changed ON tenants_apikey;
CREATE TRIGGER directory_changed AFTER INSERT OR DELETE OR UPDATE OF digest, scopes, expires_at, revoked_at, tenant_id,
    requests_per_minute, tokens_per_minute, tokens_per_month, max_waiting, max_running
    ON tenants_apikey FOR EACH STATEMENT EXECUTE FUNCTION opsite_directory_changed();
"""
HELP = "The month's budget of money is spent: nothing more is accepted before this moment."


def _column() -> models.DateTimeField:
    return models.DateTimeField(blank=True, editable=False, help_text=HELP, null=True)


class Migration(migrations.Migration):
    """One column of both, and the keys' trigger made anew."""

    dependencies = [("tenants", "0006_secrets")]
    operations = [
        migrations.AddField(model_name="tenant", name="budget_spent_until", field=_column()),
        migrations.AddField(model_name="apikey", name="budget_spent_until", field=_column()),
        migrations.RunSQL(TRIGGER, UNDO),
    ]
