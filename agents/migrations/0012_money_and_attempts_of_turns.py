"""What a turn may cost lies in its row, so that whoever enqueues it again says the same; and who served which part of it."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Two columns."""

    dependencies = [("agents", "0011_output_form"), ("orchestrator", "0017_token_prices")]
    operations = [
        migrations.AddField(
            model_name="turn",
            name="allowance",
            field=models.JSONField(
                blank=True,
                help_text="What it may cost at most, and the prices of its tokens, in trillionths.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="turn",
            name="attempt_log",
            field=models.JSONField(
                blank=True,
                help_text="Where it was taken over: its attempts by number, with their workers, times and tokens so far.",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="mcpserver",
            name="name",
            field=models.SlugField(
                help_text="Its tools are called by it and their own name: weather_today is the tool today of the server weather.",
                max_length=40,
            ),
        ),
        migrations.AlterField(
            model_name="agentrevision",
            name="limits",
            field=models.JSONField(
                blank=True,
                default=dict,
                help_text="How far a task may go: max_turns, max_tokens, max_seconds, max_cost.",
            ),
        ),
    ]
