"""Which revisions serve is a history of publications, whole and never rewritten, which web processes hear of."""

import django.db.models.deletion
import tenants.identifiers
from django.db import migrations, models


# What was current so far was published when it was made.
FILL = """
    WITH made AS (
        INSERT INTO agents_publication (id, tenant_id, agent_id, number, kind, published_by, published_at)
        SELECT gen_random_uuid(), r.tenant_id, r.agent_id, r.number, 'publish', r.created_by, r.created_at
        FROM agents_agentrevision r JOIN agents_agent a ON a.id = r.agent_id WHERE a.current_revision_id IS NOT NULL
        RETURNING id, tenant_id, agent_id, number
    )
    INSERT INTO agents_trafficshare (id, tenant_id, publication_id, revision_id, percent)
    SELECT gen_random_uuid(), m.tenant_id, m.id, r.id, 100
    FROM made m JOIN agents_agentrevision r ON r.agent_id = m.agent_id AND r.number = m.number
"""

GUARDS = """
CREATE FUNCTION opsite_publication_is_whole() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    of uuid := coalesce(to_jsonb(NEW) ->> 'publication_id', to_jsonb(NEW) ->> 'id');
    total bigint;
    strangers bigint;
BEGIN
    SELECT coalesce(sum(s.percent), 0), count(*) FILTER (WHERE r.agent_id <> p.agent_id OR s.tenant_id <> p.tenant_id)
    INTO total, strangers
    FROM agents_publication p JOIN agents_trafficshare s ON s.publication_id = p.id JOIN agents_agentrevision r ON r.id = s.revision_id
    WHERE p.id = of;
    IF total <> 100 OR strangers > 0 THEN
        RAISE EXCEPTION 'publication %: shares sum to %, and % are of another agent', of, total, strangers
            USING ERRCODE = 'check_violation', CONSTRAINT = 'publication_is_whole';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER publication_is_whole AFTER INSERT ON agents_publication
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION opsite_publication_is_whole();
CREATE CONSTRAINT TRIGGER publication_is_whole AFTER INSERT ON agents_trafficshare
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION opsite_publication_is_whole();

CREATE FUNCTION opsite_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is history: rows are added, not changed', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON agents_publication
    FOR EACH ROW EXECUTE FUNCTION opsite_append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON agents_trafficshare
    FOR EACH ROW EXECUTE FUNCTION opsite_append_only();

CREATE TRIGGER directory_changed AFTER INSERT ON agents_publication
    FOR EACH STATEMENT EXECUTE FUNCTION opsite_directory_changed();
"""
UNDO = """
DROP TRIGGER directory_changed ON agents_publication;
DROP TRIGGER append_only ON agents_trafficshare;
DROP TRIGGER append_only ON agents_publication;
DROP FUNCTION opsite_append_only;
DROP TRIGGER publication_is_whole ON agents_trafficshare;
DROP TRIGGER publication_is_whole ON agents_publication;
DROP FUNCTION opsite_publication_is_whole;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0007_tools'),
        ('tenants', '0006_secrets'),
    ]

    operations = [
        migrations.CreateModel(
            name='Publication',
            fields=[
                ('id', models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ('number', models.PositiveIntegerField()),
                ('kind', models.CharField(choices=[('publish', 'published'), ('roll_back', 'rolled back'), ('split', 'split')], max_length=10)),
                ('published_by', models.CharField(blank=True, max_length=200)),
                ('published_at', models.DateTimeField(auto_now_add=True)),
                ('agent', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='publications', to='agents.agent')),
                ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.tenant')),
            ],
            options={
                'ordering': ['agent', '-number'],
            },
        ),
        migrations.CreateModel(
            name='TrafficShare',
            fields=[
                ('id', models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ('percent', models.PositiveSmallIntegerField()),
                ('publication', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='shares', to='agents.publication')),
                ('revision', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='shares', to='agents.agentrevision')),
                ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.tenant')),
            ],
            options={
                'ordering': ['publication', 'revision__number'],
            },
        ),
        migrations.AddConstraint(
            model_name='publication',
            constraint=models.UniqueConstraint(fields=('agent', 'number'), name='publication_number_per_agent'),
        ),
        migrations.AddConstraint(
            model_name='publication',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['publish', 'roll_back', 'split'])), name='publication_kind_known'),
        ),
        migrations.AddConstraint(
            model_name='trafficshare',
            constraint=models.UniqueConstraint(fields=('publication', 'revision'), name='share_per_revision'),
        ),
        migrations.AddConstraint(
            model_name='trafficshare',
            constraint=models.CheckConstraint(condition=models.Q(('percent__gte', 1), ('percent__lte', 100)), name='share_percent_range'),
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.RunSQL(GUARDS, UNDO),
    ]
