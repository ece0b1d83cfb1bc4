"""A size that staff sets by hand for a time, and the generation by which all workers of a pool are replaced."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('orchestrator', '0017_token_prices'),
    ]

    operations = [
        migrations.AddField(
            model_name='pool',
            name='generation',
            field=models.PositiveIntegerField(db_default=0, default=0, help_text='Raised to replace all workers by new ones that are made from the same.'),
        ),
        migrations.AddField(
            model_name='poolrevision',
            name='generation',
            field=models.PositiveIntegerField(db_default=0, default=0, help_text='Raised to replace all workers by new ones that are made from the same.'),
        ),
        migrations.CreateModel(
            name='ManualSize',
            fields=[
                ('pool', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='manual_size', serialize=False, to='orchestrator.pool')),
                ('workers', models.PositiveSmallIntegerField()),
                ('until', models.DateTimeField(blank=True, help_text='Empty: drained, until somebody resumes the pool.', null=True)),
                ('set_by', models.CharField(max_length=200)),
                ('set_at', models.DateTimeField()),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('workers__lte', 1000)), name='manual_size_at_most'), models.CheckConstraint(condition=models.Q(('until__isnull', False), ('workers', 0), _connector='OR'), name='manual_size_without_end_is_a_drain'), models.CheckConstraint(condition=models.Q(('until__isnull', True), ('until__gt', models.F('set_at')), _connector='OR'), name='manual_size_ends_later')],
            },
        ),
    ]
