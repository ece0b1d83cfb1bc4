"""Tells the web processes when an agent or a pool changes, so that they may remember both."""

from __future__ import annotations

from django.db import migrations

TRIGGERS = """
CREATE TRIGGER directory_changed AFTER INSERT OR DELETE OR UPDATE
    ON agents_agent FOR EACH STATEMENT EXECUTE FUNCTION opsite_directory_changed();
CREATE TRIGGER directory_changed AFTER INSERT OR DELETE OR UPDATE
    ON orchestrator_pool FOR EACH STATEMENT EXECUTE FUNCTION opsite_directory_changed();
"""
UNDO = """
DROP TRIGGER directory_changed ON agents_agent;
DROP TRIGGER directory_changed ON orchestrator_pool;
"""


class Migration(migrations.Migration):
    """Triggers, one statement each."""

    dependencies = [
        ("agents", "0001_initial"),
        ("tenants", "0002_directory_notify"),
        ("orchestrator", "0001_initial"),
    ]
    operations = [migrations.RunSQL(TRIGGERS, UNDO)]
