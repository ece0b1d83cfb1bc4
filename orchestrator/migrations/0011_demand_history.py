"""What came in of each pool, minute by minute; what is foreseen of it; the policy that goes by it."""

import django.contrib.postgres.indexes
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('orchestrator', '0010_stock_items'),
    ]

    operations = [
        migrations.AlterField(
            model_name='scalingpolicy',
            name='kind',
            field=models.CharField(choices=[('queue_depth', 'queue depth with cooldown'), ('target_wait', 'wait under a bound'), ('forecast', 'wait under a bound, with a floor by forecast')], default='queue_depth', max_length=20),
        ),
        migrations.CreateModel(
            name='DemandForecast',
            fields=[
                ('pool', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='forecast', serialize=False, to='orchestrator.pool')),
                ('made_at', models.DateTimeField()),
                ('begins_at', models.DateTimeField(help_text='When the first step begins.')),
                ('step_s', models.FloatField()),
                ('turns_per_s', models.JSONField(default=list, help_text='The expected mean rate of each step; none: too little is known.')),
                ('error', models.FloatField(help_text='How far such forecasts lay off, as a part of what came.', null=True)),
                ('plain_error', models.FloatField(help_text='How far those lay off that know no season.', null=True)),
                ('season', models.CharField(blank=True, max_length=10)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('step_s__gt', 0)), name='demand_forecast_step_positive')],
            },
        ),
        migrations.CreateModel(
            name='DemandMinute',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('minute', models.DateTimeField(help_text='Its first moment.')),
                ('arrived', models.PositiveIntegerField(help_text='Turns that came in.')),
                ('arrived_tokens', models.PositiveBigIntegerField(help_text='Their tokens as estimated, prompts and answers.')),
                ('most_waiting', models.PositiveIntegerField(help_text='The most that waited at a time.')),
                ('arrived_after', models.PositiveBigIntegerField(help_text="The queue's counter of turns at its end.")),
                ('tokens_after', models.PositiveBigIntegerField(help_text="The queue's counter of tokens at its end.")),
                ('pool', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='demand_minutes', to='orchestrator.pool')),
            ],
            options={
                'ordering': ['-minute'],
                'indexes': [django.contrib.postgres.indexes.BrinIndex(fields=['minute'], name='demand_minute_by_time')],
                'constraints': [models.UniqueConstraint(fields=('pool', 'minute'), name='demand_minute_once_per_pool')],
            },
        ),
    ]
