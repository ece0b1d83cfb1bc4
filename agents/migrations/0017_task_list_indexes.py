"""Indexes for the filters of the list of tasks, each with the time behind it; those of single columns go."""

from __future__ import annotations

import django.db.models.deletion
import django.db.models.fields.json
from django.db import migrations, models


class Migration(migrations.Migration):
    """Indexes; and any ended task may be run again, not only a dead letter."""

    dependencies = [
        ("agents", "0016_messages_by_number"),
        ("orchestrator", "0017_token_prices"),
        ("tenants", "0007_budget_spent_until"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="task",
            name="task_failed",
        ),
        migrations.AlterField(
            model_name="task",
            name="agent",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="tasks", to="agents.agent"
            ),
        ),
        migrations.AlterField(
            model_name="task",
            name="api_key",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="tenants.apikey",
            ),
        ),
        migrations.AlterField(
            model_name="task",
            name="pool",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="orchestrator.pool"
            ),
        ),
        migrations.AlterField(
            model_name="task",
            name="rerun_of",
            field=models.OneToOneField(
                blank=True,
                help_text="The task that staff ran again as this one.",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="rerun",
                to="agents.task",
            ),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(fields=["agent", "-created_at", "-id"], name="task_by_agent"),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(fields=["pool", "-created_at", "-id"], name="task_by_pool"),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(fields=["api_key", "-created_at", "-id"], name="task_by_key"),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(("state__in", ["cancelled", "expired", "failed"])),
                fields=["state", "-created_at", "-id"],
                name="task_ended_badly",
            ),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                django.db.models.fields.json.KeyTextTransform("code", "error"),
                models.OrderBy(models.F("created_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                condition=models.Q(("state", "failed")),
                name="task_by_error",
            ),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(("metadata__has_key", "batch")),
                fields=["-created_at", "-id"],
                name="task_of_batches",
            ),
        ),
    ]
