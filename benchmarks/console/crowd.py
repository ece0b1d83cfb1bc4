"""Who fills the console: pools with their workers and decisions, and a thousand tenants with agents and keys."""

from __future__ import annotations

from datetime import datetime, timedelta

from agents.models import Agent, AgentRevision
from benchmarks.console.pouring import pour, run
from orchestrator.models import Pool, PoolRevision, ScalingDecision, ScalingPolicy, Worker
from orchestrator.revisions import note_edit
from tenants.models import ApiKey, Tenant

POOLS = ("chat-large", "chat-small", "code", "extract", "summarise", "translate", "vision", "embed")
AGENTS = ("assistant", "triage", "writer")
DAYS = 30
ENDED_PER_WORKER = 25
"""Workers that ended within the days, for each that lives."""


def fill_crowd(*, tenants: int, workers: int, decisions: int, now: datetime) -> None:
    """Write all of it, and the table `bench_agent` that tasks are drawn from (of this connection)."""
    for slug in POOLS:
        pool = Pool.objects.create(slug=slug, name=slug, engine=Pool.Engine.SIMULATED, slots=16)
        ScalingPolicy.objects.create(pool=pool, max_workers=max(1, 2 * workers // len(POOLS)))
        note_edit(pool.pk, now=now)
    since = f"timestamptz '{(now - timedelta(days=DAYS)).isoformat()}'"
    pour(
        Tenant,
        f"generate_series(1, {tenants}) n",
        id=f"pg_temp.id_at({since} + n * interval '1 second')",
        slug="'tenant-' || lpad(n::text, 4, '0')",
        name="'Tenant ' || n",
        created_at=f"{since} + n * interval '1 second'",
    )
    pour(
        ApiKey,
        f"{Tenant._meta.db_table} t, generate_series(1, 2) n",
        id="pg_temp.id_at(t.created_at)",
        tenant="t.id",
        name="'key ' || n",
        prefix="'ops_' || substr(md5(t.slug || n), 1, 8)",
        digest="md5(t.slug || n) || md5(n || t.slug)",
        created_at="t.created_at",
    )
    slugs = ", ".join(f"'{slug}'" for slug in AGENTS)
    pour(
        Agent,
        f"{Tenant._meta.db_table} t, unnest(ARRAY[{slugs}]) s",
        id="pg_temp.id_at(t.created_at)",
        tenant="t.id",
        slug="s",
        name="initcap(s)",
        created_at="t.created_at",
    )
    pools = f"(SELECT id, row_number() OVER (ORDER BY slug) AS n FROM {Pool._meta.db_table})"
    pour(
        AgentRevision,
        f"{Agent._meta.db_table} a JOIN {pools} p ON p.n = 1 + mod(abs(hashtext(a.id::text)::bigint), {len(POOLS)})",
        id="pg_temp.id_at(a.created_at)",
        tenant="a.tenant_id",
        agent="a.id",
        number="1",
        pool="p.id",
        created_at="a.created_at",
    )
    run("UPDATE agents_agent a SET current_revision_id = r.id FROM agents_agentrevision r WHERE r.agent_id = a.id")
    run(
        "CREATE TEMP TABLE bench_agent AS SELECT row_number() OVER (ORDER BY t.slug, a.slug) AS n, a.id, a.tenant_id, "
        "r.id AS revision_id, r.pool_id, (SELECT k.id FROM tenants_apikey k WHERE k.tenant_id = t.id LIMIT 1) AS key_id "
        "FROM agents_agent a JOIN agents_agentrevision r ON r.agent_id = a.id JOIN tenants_tenant t ON t.id = a.tenant_id"
    )
    run("ANALYZE")
    _fill_fleet(workers=workers, decisions=decisions, now=now)


def _fill_fleet(*, workers: int, decisions: int, now: datetime) -> None:
    moment = f"timestamptz '{now.isoformat()}'"
    revisions = (
        f"(SELECT id, pool_id, row_number() OVER (ORDER BY pool_id) AS place FROM {PoolRevision._meta.db_table})"
    )
    for count, living in ((workers, True), (workers * ENDED_PER_WORKER, False)):
        age = "mod(n, 360) * interval '1 minute'" if living else f"n * interval '{DAYS * 86_000 // count} seconds'"
        pour(
            Worker,
            f"generate_series(1, {count}) n JOIN {revisions} r ON r.place = 1 + mod(n, {len(POOLS)})",
            id=f"pg_temp.id_at({moment} - {age})",
            pool="r.pool_id",
            revision="r.id",
            state="CASE WHEN mod(n, 20) = 0 THEN 'starting' ELSE 'ready' END"
            if living
            else "CASE WHEN mod(n, 12) = 0 THEN 'failed' ELSE 'stopped' END",
            runtime="'process'",
            runtime_ref="'pid ' || n",
            slots="16",
            started_at=f"{moment} - {age}",
            ready_at=f"{moment} - {age} + interval '9 seconds'",
            stopped_at="NULL" if living else f"{moment} - {age} + interval '20 minutes'",
            created_at=f"{moment} - {age}",
        )
    pour(
        ScalingDecision,
        f"generate_series(1, {decisions}) n JOIN {revisions} r ON r.place = 1 + mod(n, {len(POOLS)})",
        id=f"pg_temp.id_at({moment} - n * interval '{DAYS * 86_000 // decisions} seconds')",
        pool="r.pool_id",
        at=f"{moment} - n * interval '{DAYS * 86_000 // decisions} seconds'",
        current="mod(n, 25)",
        desired="mod(n + 1, 25)",
        reason="'The oldest task has waited 6.2 s, more than 5 s: one worker more.'",
        signals="'{}'",
        created_at=f"{moment} - n * interval '{DAYS * 86_000 // decisions} seconds'",
    )
