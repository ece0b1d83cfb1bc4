"""Pools get revisions: what their workers are made from. What is there becomes the first one of each pool."""

import hashlib
import json

import django.core.validators
import django.db.models.deletion
import tenants.identifiers
from django.db import migrations, models
from django.db.models import Min
from django.utils import timezone

RECIPE = (
    "engine", "model", "engine_args", "runtime", "image", "gpus_per_worker", "gpu_share", "cpus_per_worker", "slots", "env", "mounts",
)  # fmt: skip

TRIGGER = """
CREATE FUNCTION orchestrator_revision_is_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (to_jsonb(NEW) - 'ready_at') IS DISTINCT FROM (to_jsonb(OLD) - 'ready_at') THEN
        RAISE EXCEPTION 'a pool''s revision is never changed: change the pool, which makes a new revision'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER revision_is_history BEFORE UPDATE ON orchestrator_poolrevision
    FOR EACH ROW EXECUTE FUNCTION orchestrator_revision_is_history();
"""
NO_TRIGGER = """
DROP TRIGGER revision_is_history ON orchestrator_poolrevision;
DROP FUNCTION orchestrator_revision_is_history();
"""


def digest(pool):
    """As `orchestrator.revisions.digest` makes it today."""
    parts = {name: getattr(pool, name) for name in RECIPE}
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def first_revisions(apps, schema_editor):
    """Workers that run are taken as made from their pool as it stands: nothing is replaced because of the migration."""
    model = {name: apps.get_model("orchestrator", name) for name in ("Pool", "PoolRevision", "Rollout", "Worker")}
    for pool in model["Pool"].objects.all():
        workers = model["Worker"].objects.filter(pool=pool)
        revision = model["PoolRevision"].objects.create(
            pool=pool,
            number=1,
            digest=digest(pool),
            ready_at=workers.aggregate(first=Min("ready_at"))["first"],
            **{name: getattr(pool, name) for name in RECIPE},
        )
        model["Rollout"].objects.create(
            pool=pool, current=revision, reason="The first revision.", since=timezone.now()
        )
        workers.update(revision=revision)


class Migration(migrations.Migration):

    dependencies = [
        ('orchestrator', '0006_placement'),
        ('tenants', '0005_queue_limits_of_keys'),
    ]

    operations = [
        migrations.CreateModel(
            name='PoolRevision',
            fields=[
                ('engine', models.CharField(choices=[('vllm', 'vLLM'), ('transformers', 'transformers'), ('simulated', 'simulated (a stand-in for load tests)')], max_length=20)),
                ('model', models.CharField(blank=True, help_text='Folder or hub id; the simulated engine needs none.', max_length=500)),
                ('engine_args', models.JSONField(blank=True, default=dict, help_text='Passed to the engine as they stand.')),
                ('runtime', models.CharField(choices=[('process', 'process on this host'), ('docker', 'Docker container on this host')], default='process', max_length=20)),
                ('image', models.CharField(blank=True, help_text="Container image; empty: the setting's.", max_length=500)),
                ('gpus_per_worker', models.PositiveSmallIntegerField(default=0, help_text='Whole GPUs that a worker has for itself; more than one for tensor parallelism.')),
                ('gpu_share', models.FloatField(default=1.0, help_text='Part of its GPU that a worker has where it has one: at 0.5, two workers share a GPU. For vLLM, gpu_memory_utilization follows from it, unless the engine arguments say otherwise.')),
                ('cpus_per_worker', models.PositiveSmallIntegerField(default=0, help_text='Cores that a worker is counted for, where there is no GPU to count; 0: not counted.')),
                ('slots', models.PositiveSmallIntegerField(default=8, help_text='Turns that a worker runs at once.', validators=[django.core.validators.MinValueValidator(1)])),
                ('env', models.JSONField(blank=True, default=dict, help_text="Environment of the worker, beside Opsite's own.")),
                ('mounts', models.JSONField(blank=True, default=list, help_text='Host folders that a container sees, read-only, at the same path.')),
                ('id', models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ('number', models.PositiveIntegerField()),
                ('digest', models.CharField(help_text='SHA-256 of all that it says.', max_length=64)),
                ('created_by', models.CharField(blank=True, max_length=200)),
                ('ready_at', models.DateTimeField(blank=True, help_text='When a worker of it first was ready.', null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'ordering': ['pool', '-number'],
            },
        ),
        migrations.CreateModel(
            name='Rollout',
            fields=[
                ('id', models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ('state', models.CharField(choices=[('steady', 'steady'), ('rolling', 'rolling out'), ('canary', 'waits for your word'), ('failed', 'failed, gone back'), ('reverted', 'called back')], default='steady', max_length=10)),
                ('is_confirmed', models.BooleanField(default=False, help_text='Somebody has said that it may go on past the canaries.')),
                ('failures', models.PositiveSmallIntegerField(default=0, help_text='Workers of the target that failed since it began.')),
                ('reason', models.TextField(blank=True)),
                ('log_tail', models.TextField(blank=True, help_text='The last words of the worker that failed last.')),
                ('since', models.DateTimeField(help_text='When this state began.')),
            ],
        ),
        migrations.AddField(
            model_name='pool',
            name='canary_share',
            field=models.PositiveSmallIntegerField(default=0, help_text="Percent of the fleet at which a roll-out waits for somebody's word; 0: it does not wait.", validators=[django.core.validators.MaxValueValidator(100)]),
        ),
        migrations.AddField(
            model_name='pool',
            name='surge_share',
            field=models.PositiveSmallIntegerField(default=25, help_text='Percent of the fleet that a wave of a roll-out starts above its size; one worker at least.', validators=[django.core.validators.MaxValueValidator(100)]),
        ),
        migrations.AddField(
            model_name='pool',
            name='rolls_in_place',
            field=models.BooleanField(default=False, help_text='Where the host has no room for a worker beside those that are there, a roll-out ends one old worker before its successor serves, one at a time: the fleet is smaller meanwhile. Off: it waits for room.', verbose_name='roll out in place'),
        ),
        migrations.AddField(
            model_name='scalingpolicy',
            name='gpu_hours_per_day',
            field=models.FloatField(default=0.0, help_text='When the day (UTC) has cost so many GPU-hours (without GPUs: worker-hours), the minimum is kept; 0: no bound.'),
        ),
        migrations.AddConstraint(
            model_name='pool',
            constraint=models.CheckConstraint(condition=models.Q(('canary_share__lte', 100), ('surge_share__lte', 100)), name='pool_shares_are_percent'),
        ),
        migrations.AddConstraint(
            model_name='scalingpolicy',
            constraint=models.CheckConstraint(condition=models.Q(('gpu_hours_per_day__gte', 0)), name='policy_budget_not_negative'),
        ),
        migrations.AddField(
            model_name='poolrevision',
            name='pool',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='revisions', to='orchestrator.pool'),
        ),
        migrations.AddField(
            model_name='worker',
            name='revision',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.RESTRICT, related_name='workers', to='orchestrator.poolrevision'),
        ),
        migrations.AddIndex(
            model_name='worker',
            index=models.Index(fields=['-stopped_at'], name='orchestrato_stopped_c194f0_idx'),
        ),
        migrations.AddField(
            model_name='rollout',
            name='current',
            field=models.ForeignKey(help_text='Serves, and is gone back to.', on_delete=django.db.models.deletion.RESTRICT, related_name='+', to='orchestrator.poolrevision'),
        ),
        migrations.AddField(
            model_name='rollout',
            name='pool',
            field=models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='rollout', to='orchestrator.pool'),
        ),
        migrations.AddField(
            model_name='rollout',
            name='target',
            field=models.ForeignKey(blank=True, help_text='Is being rolled out, or was when that failed.', null=True, on_delete=django.db.models.deletion.RESTRICT, related_name='+', to='orchestrator.poolrevision'),
        ),
        migrations.RunPython(first_revisions, migrations.RunPython.noop),
        # Checks of the new rows are due at the end of the transaction; Postgres alters no table while any is.
        migrations.RunSQL("SET CONSTRAINTS ALL IMMEDIATE", migrations.RunSQL.noop),
        migrations.AlterField(
            model_name='worker',
            name='revision',
            field=models.ForeignKey(on_delete=django.db.models.deletion.RESTRICT, related_name='workers', to='orchestrator.poolrevision'),
        ),
        migrations.AddConstraint(
            model_name='poolrevision',
            constraint=models.UniqueConstraint(fields=('pool', 'number'), name='pool_revision_number_per_pool'),
        ),
        migrations.AddConstraint(
            model_name='poolrevision',
            constraint=models.UniqueConstraint(fields=('pool', 'digest'), name='pool_revision_once_per_pool'),
        ),
        migrations.AddConstraint(
            model_name='rollout',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['steady', 'rolling', 'canary', 'failed', 'reverted'])), name='rollout_state_known'),
        ),
        migrations.AddConstraint(
            model_name='rollout',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'steady'), ('target__isnull', True)), models.Q(models.Q(('state', 'steady'), _negated=True), ('target__isnull', False)), _connector='OR'), name='rollout_target_unless_steady'),
        ),
        migrations.AddConstraint(
            model_name='rollout',
            constraint=models.CheckConstraint(condition=models.Q(('target__isnull', True), models.Q(('target', models.F('current')), _negated=True), _connector='OR'), name='rollout_target_is_another'),
        ),
        migrations.RunSQL(TRIGGER, NO_TRIGGER),
    ]
