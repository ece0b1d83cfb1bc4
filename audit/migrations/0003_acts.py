"""Rows' changes that are parts of an act say so; the trigger function writes it from what the connection's setting says."""

from __future__ import annotations

from importlib import import_module

from django.db import migrations, models

BEFORE = import_module("audit.migrations.0002_append_only").NOTE.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
NOTE = BEFORE.replace("before, after, address)", "before, after, address, act, is_part)").replace(
    "(acting ->> 'address')::inet\n", "(acting ->> 'address')::inet, (acting ->> 'act')::uuid, acting ? 'act'\n"
)


class Migration(migrations.Migration):
    dependencies = [("audit", "0002_append_only")]

    operations = [
        migrations.AddField(
            "entry",
            "act",
            models.UUIDField(blank=True, help_text="What was done in one act has one of these.", null=True),
        ),
        migrations.AddField(
            "entry",
            "is_part",
            models.BooleanField(
                db_default=False, default=False, help_text="A row's change that stands under the entry of its act."
            ),
        ),
        migrations.RunSQL(NOTE, BEFORE),
    ]
