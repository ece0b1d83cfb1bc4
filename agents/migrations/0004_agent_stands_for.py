"""Which agents stand for a bare pool is said by a column, where a slug that starts with `pool-` only hinted at it."""

import django.db.models.deletion
from django.db import migrations, models

# Those that were made by a call that named a pool, and are as they were made.
FILL = """
    UPDATE agents_agent a SET stands_for_id = r.pool_id
    FROM agents_agentrevision r JOIN orchestrator_pool p ON p.id = r.pool_id
    WHERE r.id = a.current_revision_id AND r.number = 1 AND r.created_by = 'opsite'
        AND a.archived_at IS NULL AND a.slug LIKE 'pool-%' AND a.name = 'Pool ' || p.slug
"""


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0003_task_estimated_tokens'),
        ('orchestrator', '0002_pool_max_waiting'),
        ('tenants', '0004_directory_notify_limits'),
    ]

    operations = [
        migrations.AddField(
            model_name='agent',
            name='stands_for',
            field=models.ForeignKey(blank=True, editable=False, help_text='The pool that this agent stands for, with nothing added, in calls that name the pool as their model.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='orchestrator.pool'),
        ),
        migrations.AddConstraint(
            model_name='agent',
            constraint=models.UniqueConstraint(fields=('tenant', 'stands_for'), name='agent_one_per_bare_pool'),
        ),
        migrations.AddConstraint(
            model_name='agent',
            constraint=models.CheckConstraint(condition=models.Q(('stands_for__isnull', True), ('archived_at__isnull', True), _connector='OR'), name='agent_of_pool_not_archived'),
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]
