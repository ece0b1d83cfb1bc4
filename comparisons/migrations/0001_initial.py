"""Input sets, comparisons and their runs."""

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
            name='InputSet',
            fields=[
                ('id', models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=100)),
                ('items', models.JSONField(help_text='Each with messages and checks.')),
                ('created_by', models.CharField(blank=True, max_length=200)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('agent', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='input_sets', to='agents.agent')),
                ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.tenant')),
            ],
            options={
                'ordering': ['-created_at'],
            },
        ),
        migrations.CreateModel(
            name='Comparison',
            fields=[
                ('id', models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ('state', models.CharField(choices=[('running', 'Running'), ('done', 'Done')], default='running', max_length=8)),
                ('held_up_by', models.JSONField(blank=True, help_text='Why its tasks are not accepted now; it tries again.', null=True)),
                ('lease_until', models.DateTimeField(blank=True, help_text='Until when no other process looks at it.', null=True)),
                ('created_by', models.CharField(blank=True, max_length=200)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('agent', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='comparisons', to='agents.agent')),
                ('api_key', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.apikey')),
                ('left', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='agents.agentrevision')),
                ('right', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='agents.agentrevision')),
                ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.tenant')),
                ('input_set', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='comparisons', to='comparisons.inputset')),
            ],
            options={
                'ordering': ['-created_at'],
            },
        ),
        migrations.CreateModel(
            name='ComparisonRun',
            fields=[
                ('id', models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ('number', models.PositiveIntegerField(help_text="The item's, from 1.")),
                ('side', models.CharField(choices=[('left', 'Left'), ('right', 'Right')], max_length=5)),
                ('error', models.JSONField(blank=True, help_text='Why no task was accepted.', null=True)),
                ('checks', models.JSONField(blank=True, default=list)),
                ('judged_at', models.DateTimeField(blank=True, null=True)),
                ('comparison', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='runs', to='comparisons.comparison')),
                ('task', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='agents.task')),
                ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.tenant')),
            ],
            options={
                'ordering': ['comparison', 'number', 'side'],
                'constraints': [models.UniqueConstraint(fields=('comparison', 'number', 'side'), name='run_per_item_and_side'), models.CheckConstraint(condition=models.Q(('side__in', ['left', 'right'])), name='run_side_known'), models.CheckConstraint(condition=models.Q(('number__gte', 1)), name='run_number_from_one')],
            },
        ),
        migrations.AddIndex(
            model_name='inputset',
            index=models.Index(fields=['tenant', '-created_at', '-id'], name='input_set_by_tenant'),
        ),
        migrations.AddConstraint(
            model_name='inputset',
            constraint=models.UniqueConstraint(fields=('agent', 'name'), name='input_set_name_per_agent'),
        ),
        migrations.AddIndex(
            model_name='comparison',
            index=models.Index(fields=['tenant', '-created_at', '-id'], name='comparison_by_tenant'),
        ),
        migrations.AddIndex(
            model_name='comparison',
            index=models.Index(condition=models.Q(('state', 'running')), fields=['created_at'], name='comparison_running'),
        ),
        migrations.AddConstraint(
            model_name='comparison',
            constraint=models.CheckConstraint(condition=models.Q(('left', models.F('right')), _negated=True), name='comparison_of_two'),
        ),
        migrations.AddConstraint(
            model_name='comparison',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('finished_at__isnull', True), ('state', 'running')), models.Q(('finished_at__isnull', False), ('state', 'done')), _connector='OR'), name='comparison_finished_iff_done'),
        ),
    ]
