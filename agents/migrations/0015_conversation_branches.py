"""Messages become a tree, tasks replies in it. What was a list so far is a tree of one branch."""

import django.db.models.deletion
from django.db import migrations, models


# Each message follows the one that was written before it, and the last one is the head.
TREE = """
    UPDATE agents_message m SET parent_number = b.before
    FROM (SELECT id, lag(number) OVER (PARTITION BY conversation_id ORDER BY number) AS before FROM agents_message) b
    WHERE b.id = m.id AND b.before IS NOT NULL;
    UPDATE agents_conversation c SET head_number = l.number
    FROM (SELECT conversation_id, max(number) AS number FROM agents_message GROUP BY conversation_id) l
    WHERE l.conversation_id = c.id;
"""
# Each task answers the last message that it brought.
REPLIES = """
    INSERT INTO agents_reply (task_id, tenant_id, conversation_id, number, line, said, after_number, question_number, answer_number,
        superseded, over)
    SELECT t.id, t.tenant_id, t.conversation_id, row_number() OVER (PARTITION BY t.conversation_id ORDER BY t.created_at, t.id), t.id,
        s.said, f.parent_number, s.last, a.number, '', t.finished_at IS NOT NULL
    FROM agents_task t
    JOIN LATERAL (SELECT count(*) AS said, min(number) AS first, max(number) AS last FROM agents_message
                  WHERE task_id = t.id AND role <> 'assistant') s ON s.said > 0
    JOIN agents_message f ON f.conversation_id = t.conversation_id AND f.number = s.first
    LEFT JOIN agents_message a ON a.task_id = t.id AND a.role = 'assistant' AND a.number > s.last
    WHERE t.conversation_id IS NOT NULL;
"""
# No cycle can be written: a message's parent has a lower number (a check), in the same conversation (this key).
KEYS = """
    ALTER TABLE agents_message ADD CONSTRAINT message_parent_of_conversation FOREIGN KEY (conversation_id, parent_number)
        REFERENCES agents_message (conversation_id, number) DEFERRABLE INITIALLY DEFERRED;
    ALTER TABLE agents_conversation ADD CONSTRAINT conversation_head_of_conversation FOREIGN KEY (id, head_number)
        REFERENCES agents_message (conversation_id, number) DEFERRABLE INITIALLY DEFERRED;
    ALTER TABLE agents_reply ADD CONSTRAINT reply_after_of_conversation FOREIGN KEY (conversation_id, after_number)
        REFERENCES agents_message (conversation_id, number) DEFERRABLE INITIALLY DEFERRED;
    ALTER TABLE agents_reply ADD CONSTRAINT reply_question_of_conversation FOREIGN KEY (conversation_id, question_number)
        REFERENCES agents_message (conversation_id, number) DEFERRABLE INITIALLY DEFERRED;
    ALTER TABLE agents_reply ADD CONSTRAINT reply_answer_of_conversation FOREIGN KEY (conversation_id, answer_number)
        REFERENCES agents_message (conversation_id, number) DEFERRABLE INITIALLY DEFERRED;
"""
UNDO_KEYS = """
    ALTER TABLE agents_conversation DROP CONSTRAINT conversation_head_of_conversation;
    ALTER TABLE agents_message DROP CONSTRAINT message_parent_of_conversation;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0014_context_rules_and_summaries'),
        ('tenants', '0007_budget_spent_until'),
    ]

    operations = [
        migrations.CreateModel(
            name='Reply',
            fields=[
                ('task', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='reply', serialize=False, to='agents.task')),
                ('number', models.PositiveIntegerField(help_text='The order of arrival in the conversation, from 1.')),
                ('line', models.UUIDField(help_text='The first task of those that came for the same place one after the other.')),
                ('said', models.PositiveIntegerField(help_text="Messages at the end of the task's input that came with the request.")),
                ('after_number', models.PositiveIntegerField(help_text='What its messages follow; null: nothing.', null=True)),
                ('question_number', models.PositiveIntegerField(help_text='What it answers; null: it waits.', null=True)),
                ('answer_number', models.PositiveIntegerField(null=True)),
                ('superseded', models.CharField(blank=True, default='', help_text='How a later message has it ended, if one does.', max_length=10)),
                ('over', models.BooleanField(default=False, help_text='Its task has ended.')),
            ],
        ),
        migrations.RemoveConstraint(
            model_name='message',
            name='message_one_answer_per_task',
        ),
        migrations.AddField(
            model_name='conversation',
            name='head_number',
            field=models.PositiveIntegerField(blank=True, editable=False, help_text='The message that the next one follows; a foreign key of Postgres.', null=True),
        ),
        migrations.AddField(
            model_name='conversation',
            name='when_busy',
            field=models.CharField(choices=[('queue', 'queue'), ('refuse', 'refuse'), ('interrupt', 'interrupt'), ('roll_back', 'roll_back')], default='queue', help_text='What a message does while a task of its branch has not ended, unless its request says otherwise.', max_length=10),
        ),
        migrations.AddField(
            model_name='message',
            name='interrupted',
            field=models.BooleanField(db_default=False, default=False, help_text='An answer that another message cut short.'),
        ),
        migrations.AddField(
            model_name='message',
            name='parent_number',
            field=models.PositiveIntegerField(blank=True, help_text='The message that it follows, of this conversation (a foreign key of Postgres); null: none.', null=True),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(condition=models.Q(('parent_number__isnull', False)), fields=['conversation', 'parent_number'], name='message_by_parent'),
        ),
        migrations.AddConstraint(
            model_name='conversation',
            constraint=models.CheckConstraint(condition=models.Q(('when_busy__in', ['queue', 'refuse', 'interrupt', 'roll_back'])), name='conversation_when_busy_known'),
        ),
        migrations.AddConstraint(
            model_name='message',
            constraint=models.CheckConstraint(condition=models.Q(('parent_number__isnull', True), ('parent_number__lt', models.F('number')), _connector='OR'), name='message_follows_earlier'),
        ),
        migrations.AddField(
            model_name='reply',
            name='conversation',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='replies', to='agents.conversation'),
        ),
        migrations.AddField(
            model_name='reply',
            name='tenant',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.tenant'),
        ),
        migrations.AddIndex(
            model_name='reply',
            index=models.Index(fields=['line', 'number'], name='reply_by_line'),
        ),
        migrations.AddIndex(
            model_name='reply',
            index=models.Index(condition=models.Q(('over', False)), fields=['conversation'], name='reply_not_over'),
        ),
        migrations.AddIndex(
            model_name='reply',
            index=models.Index(condition=models.Q(('over', False), ('question_number__isnull', True)), fields=['tenant'], name='reply_waits'),
        ),
        migrations.AddConstraint(
            model_name='reply',
            constraint=models.UniqueConstraint(fields=('conversation', 'number'), name='reply_number_per_conversation'),
        ),
        migrations.AddConstraint(
            model_name='reply',
            constraint=models.UniqueConstraint(condition=models.Q(('over', False), ('question_number__isnull', False)), fields=('line',), name='reply_one_runs_per_line'),
        ),
        migrations.AddConstraint(
            model_name='reply',
            constraint=models.CheckConstraint(condition=models.Q(('question_number__isnull', False), models.Q(('after_number__isnull', True), ('answer_number__isnull', True), ('said__gt', 0)), _connector='OR'), name='reply_waits_or_stands'),
        ),
        migrations.AddConstraint(
            model_name='reply',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('after_number__isnull', True), ('question_number__gt', models.F('after_number')), _connector='OR'), models.Q(('answer_number__isnull', True), ('answer_number__gt', models.F('question_number')), _connector='OR')), name='reply_in_order'),
        ),
        migrations.AddConstraint(
            model_name='reply',
            constraint=models.CheckConstraint(condition=models.Q(('superseded__in', ['', 'interrupt', 'roll_back'])), name='reply_superseded_known'),
        ),
        migrations.RunSQL(TREE, migrations.RunSQL.noop),
        migrations.RunSQL(REPLIES, migrations.RunSQL.noop),
        migrations.RunSQL(KEYS, UNDO_KEYS),
    ]
