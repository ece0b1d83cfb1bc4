"""Workers hold GPUs by uuid. Rows that are older than the column `gpus` say that it is unknown which ones they have."""

import django.db.models.lookups
from django.db import migrations, models

LIVE = ("starting", "ready", "draining")
UNKNOWN = "unknown"
"""As `orchestrator.placement.identity` has it. The worker's runtime knows, and may be away when it is asked first."""


def say_that_it_is_unknown(apps, schema_editor):
    """Whoever was started since the column is there has a row that names its GPUs, if it has any."""
    worker = apps.get_model("orchestrator", "Worker")
    silent = worker.objects.filter(state__in=LIVE, gpus=[], revision__gpus_per_worker__gt=0).select_related("revision")
    for row in silent:
        worker.objects.filter(pk=row.pk).update(gpus=[UNKNOWN] * row.revision.gpus_per_worker)


class Migration(migrations.Migration):

    dependencies = [
        ('orchestrator', '0008_policy_cooldown_by_start_cost'),
    ]

    operations = [
        migrations.AlterField(
            model_name='pool',
            name='cpus_per_worker',
            field=models.PositiveSmallIntegerField(default=0, help_text='Cores of the host (OPSITE_CPUS) that each worker is counted for, with a GPU or without: no more workers start than there are cores for. Its engine takes so many threads (OMP_NUM_THREADS); it is not kept from using more. 0: not counted.'),
        ),
        migrations.AlterField(
            model_name='poolrevision',
            name='cpus_per_worker',
            field=models.PositiveSmallIntegerField(default=0, help_text='Cores of the host (OPSITE_CPUS) that each worker is counted for, with a GPU or without: no more workers start than there are cores for. Its engine takes so many threads (OMP_NUM_THREADS); it is not kept from using more. 0: not counted.'),
        ),
        migrations.AlterField(
            model_name='worker',
            name='gpu_share',
            field=models.FloatField(default=1.0, help_text='The part of each of them that it has: 1, or less of a shared one.'),
        ),
        migrations.AlterField(
            model_name='worker',
            name='gpus',
            field=models.JSONField(blank=True, default=list, help_text='The GPUs that it was given, by uuid where that is known.'),
        ),
        migrations.AddConstraint(
            model_name='worker',
            constraint=models.CheckConstraint(condition=models.Q(('gpu_share__gt', 0), ('gpu_share__lte', 1)), name='worker_share_of_its_gpus'),
        ),
        migrations.AddConstraint(
            model_name='worker',
            constraint=models.CheckConstraint(condition=django.db.models.lookups.Exact(models.Func(models.F('gpus'), function='jsonb_typeof', output_field=models.TextField()), 'array'), name='worker_gpus_are_a_list'),
        ),
        migrations.RunPython(say_that_it_is_unknown, migrations.RunPython.noop),
    ]
