import django.db.models.deletion
import django.db.models.fields.json
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0017_lists_of_many_rows'),
    ]

    operations = [  # what takes the place of an index first
        migrations.AddIndex(
            model_name='task',
            index=models.Index(fields=['agent', '-created_at', '-id'], name='task_by_agent'),
        ),
        migrations.AddIndex(
            model_name='task',
            index=models.Index(fields=['pool', '-created_at', '-id'], name='task_by_pool'),
        ),
        migrations.AddIndex(
            model_name='task',
            index=models.Index(condition=models.Q(('state__in', ['cancelled', 'expired', 'failed'])), fields=['state', '-created_at', '-id'], name='task_ended_badly'),
        ),
        migrations.AddIndex(
            model_name='task',
            index=models.Index(django.db.models.fields.json.KeyTextTransform('code', 'error'), models.OrderBy(models.F('created_at'), descending=True), models.OrderBy(models.F('id'), descending=True), condition=models.Q(('state', 'failed')), name='task_by_error'),
        ),
        migrations.RemoveIndex(
            model_name='task',
            name='task_failed',
        ),
        migrations.AlterField(
            model_name='task',
            name='agent',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='tasks', to='agents.agent'),
        ),
        migrations.AlterField(
            model_name='task',
            name='pool',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='orchestrator.pool'),
        ),
    ]
