"""Indexes for lists of many rows: each with the time behind it; those of single columns go. Any ended task may be run again.

They are built while the service goes on reading and writing, each in a transaction of its own, before those that they replace go. If
that is broken off, drop the index that Postgres calls invalid, and those that are there, and migrate again.
"""

import django.db.models.deletion
import django.db.models.fields.json
import django.db.models.lookups
from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('agents', '0019_task_submitted_by_staff'),
        ('orchestrator', '0020_worker_wishes'),
        ('tenants', '0007_budget_spent_until'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='message',
            index=models.Index(fields=['tenant', '-id'], name='message_by_tenant'),
        ),
        AddIndexConcurrently(
            model_name='task',
            index=models.Index(fields=['agent', '-created_at', '-id'], name='task_by_agent'),
        ),
        AddIndexConcurrently(
            model_name='task',
            index=models.Index(fields=['pool', '-created_at', '-id'], name='task_by_pool'),
        ),
        AddIndexConcurrently(
            model_name='task',
            index=models.Index(condition=models.Q(('idempotency_key__isnull', False)), fields=['idempotency_key'], name='task_by_idempotency_key'),
        ),
        AddIndexConcurrently(
            model_name='task',
            index=models.Index(fields=['api_key', '-created_at', '-id'], name='task_by_key'),
        ),
        AddIndexConcurrently(
            model_name='task',
            index=models.Index(condition=models.Q(('state__in', ['cancelled', 'expired', 'failed'])), fields=['state', '-created_at', '-id'], name='task_ended_badly'),
        ),
        AddIndexConcurrently(
            model_name='task',
            index=models.Index(django.db.models.fields.json.KeyTextTransform('code', 'error'), models.OrderBy(models.F('created_at'), descending=True), models.OrderBy(models.F('id'), descending=True), condition=models.Q(('state', 'failed')), name='task_by_error'),
        ),
        AddIndexConcurrently(
            model_name='task',
            index=models.Index(condition=models.Q(django.db.models.lookups.In(django.db.models.fields.json.KeyTextTransform('code', 'error'), ['attempts_exhausted', 'poison']), ('state', 'failed')), fields=['-created_at', '-id'], name='task_dead_letters'),
        ),
        AddIndexConcurrently(
            model_name='task',
            index=models.Index(condition=models.Q(('metadata__has_key', 'batch')), fields=['-created_at', '-id'], name='task_of_batches'),
        ),
        AddIndexConcurrently(
            model_name='toolcall',
            index=models.Index(fields=['-created_at', '-id'], name='call_by_time'),
        ),
        AddIndexConcurrently(
            model_name='toolcall',
            index=models.Index(fields=['tenant', '-created_at', '-id'], name='call_by_tenant'),
        ),
        AddIndexConcurrently(
            model_name='toolcall',
            index=models.Index(fields=['name', '-created_at', '-id'], name='call_by_name'),
        ),
        AddIndexConcurrently(
            model_name='turn',
            index=models.Index(fields=['tenant', '-id'], name='turn_by_tenant'),
        ),
        migrations.AlterField(
            model_name='message',
            name='tenant',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.tenant'),
        ),
        migrations.AlterField(
            model_name='task',
            name='agent',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='tasks', to='agents.agent'),
        ),
        migrations.AlterField(
            model_name='task',
            name='api_key',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='tenants.apikey'),
        ),
        migrations.AlterField(
            model_name='task',
            name='pool',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='orchestrator.pool'),
        ),
        migrations.AlterField(
            model_name='task',
            name='rerun_of',
            field=models.OneToOneField(blank=True, help_text='The task that staff ran again as this one.', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='rerun', to='agents.task'),
        ),
        migrations.AlterField(
            model_name='toolcall',
            name='tenant',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.tenant'),
        ),
        migrations.AlterField(
            model_name='turn',
            name='tenant',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.tenant'),
        ),
        RemoveIndexConcurrently(
            model_name='task',
            name='task_failed',
        ),
    ]
