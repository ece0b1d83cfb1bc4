"""Schedules and their firings."""

import django.db.models.deletion
import tenants.identifiers
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('agents', '0008_revisions_published'),
        ('tenants', '0006_secrets'),
    ]

    operations = [
        migrations.CreateModel(
            name='Schedule',
            fields=[
                ('id', models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=100)),
                ('task', models.JSONField(help_text='As `POST /api/v1/tasks` takes it.')),
                ('cron', models.CharField(help_text='Minute, hour, day of month, month, day of week.', max_length=200)),
                ('time_zone', models.CharField(default='UTC', max_length=64)),
                ('catch_up', models.CharField(choices=[('skip', 'skip what was missed'), ('last', 'run the latest that was missed'), ('all', 'run all that were missed')], default='skip', max_length=4)),
                ('overlap', models.CharField(choices=[('allow', 'run beside it'), ('skip', 'skip while the last task runs')], default='allow', max_length=5)),
                ('is_enabled', models.BooleanField(default=True)),
                ('next_at', models.DateTimeField(blank=True, help_text='The nominal time of the next firing.', null=True)),
                ('last_at', models.DateTimeField(blank=True, help_text='The nominal time of the last task.', null=True)),
                ('last_error', models.JSONField(blank=True, help_text='Why the last firing made no task; null if it did.', null=True)),
                ('failures', models.PositiveSmallIntegerField(default=0, help_text='Firings in a row that failed.')),
                ('paused_at', models.DateTimeField(blank=True, help_text='When too many failures ended it.', null=True)),
                ('retry_at', models.DateTimeField(blank=True, help_text='When a firing that was put off is tried again.', null=True)),
                ('lease_until', models.DateTimeField(blank=True, help_text='Until when a process may be firing it.', null=True)),
                ('created_by', models.CharField(blank=True, max_length=200)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('agent', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='schedules', to='agents.agent')),
                ('api_key', models.ForeignKey(help_text='In whose name it runs.', on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.apikey')),
                ('last_task', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='agents.task')),
                ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.tenant')),
            ],
            options={
                'ordering': ['-created_at'],
            },
        ),
        migrations.CreateModel(
            name='Firing',
            fields=[
                ('id', models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ('nominal_at', models.DateTimeField(help_text='When it was to happen.')),
                ('state', models.CharField(choices=[('fired', 'Fired'), ('skipped', 'skipped: the last task still ran'), ('missed', 'missed: nothing ran then, and the rule makes it not good'), ('failed', 'Failed')], max_length=8)),
                ('count', models.PositiveIntegerField(default=1, help_text='How many nominal times this is about.')),
                ('error', models.JSONField(blank=True, null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('task', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='agents.task')),
                ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.tenant')),
                ('schedule', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='firings', to='schedules.schedule')),
            ],
            options={
                'ordering': ['-created_at'],
            },
        ),
        migrations.AddIndex(
            model_name='schedule',
            index=models.Index(fields=['tenant', '-created_at', '-id'], name='schedule_by_tenant'),
        ),
        migrations.AddIndex(
            model_name='schedule',
            index=models.Index(condition=models.Q(('is_enabled', True)), fields=['next_at'], name='schedule_due'),
        ),
        migrations.AddConstraint(
            model_name='schedule',
            constraint=models.UniqueConstraint(fields=('tenant', 'name'), name='schedule_name_per_tenant'),
        ),
        migrations.AddConstraint(
            model_name='schedule',
            constraint=models.CheckConstraint(condition=models.Q(('catch_up__in', ['skip', 'last', 'all'])), name='schedule_catch_up_known'),
        ),
        migrations.AddConstraint(
            model_name='schedule',
            constraint=models.CheckConstraint(condition=models.Q(('overlap__in', ['allow', 'skip'])), name='schedule_overlap_known'),
        ),
        migrations.AddConstraint(
            model_name='schedule',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('is_enabled', True), ('next_at__isnull', False), ('paused_at__isnull', True)), models.Q(('is_enabled', False), ('next_at__isnull', True)), _connector='OR'), name='schedule_next_iff_enabled'),
        ),
        migrations.AddIndex(
            model_name='firing',
            index=models.Index(fields=['schedule', '-created_at', '-id'], name='firing_by_schedule'),
        ),
        migrations.AddConstraint(
            model_name='firing',
            constraint=models.UniqueConstraint(fields=('schedule', 'nominal_at'), name='firing_once_per_nominal_time'),
        ),
        migrations.AddConstraint(
            model_name='firing',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['fired', 'skipped', 'missed', 'failed'])), name='firing_state_known'),
        ),
        migrations.AddConstraint(
            model_name='firing',
            constraint=models.CheckConstraint(condition=models.Q(('count__gte', 1)), name='firing_count_positive'),
        ),
    ]
