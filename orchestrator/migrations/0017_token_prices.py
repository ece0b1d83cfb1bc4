"""A pool's row has the prices of its tokens: what runs tasks reads them there. `billing` fills and keeps the column."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """One column."""

    dependencies = [("orchestrator", "0016_work_minutes")]
    operations = [
        migrations.AddField(
            model_name="pool",
            name="token_prices",
            field=models.JSONField(
                blank=True,
                default=list,
                editable=False,
                help_text="What a million tokens cost, from moments on. Triggers of `billing` write it: who changes a price "
                "changes it.",
            ),
        ),
    ]
