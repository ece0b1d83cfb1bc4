"""A service that has run gets revisions: what is there becomes the first one of each pool, and nothing is replaced for it."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from orchestrator.placement.identity import UNKNOWN

ROOT = Path(__file__).resolve().parents[2]
BEFORE = ("orchestrator", "0006_placement")
OLD_ROWS = """
INSERT INTO orchestrator_pool (id, slug, name, engine, model, engine_args, runtime, image, gpus_per_worker, gpu_share,
    cpus_per_worker, priority, slots, env, mounts, default_params, max_waiting, lease_s, max_attempts, max_losses, is_paused,
    created_at)
SELECT md5(slug)::uuid, slug, slug, 'simulated', '', '{"b": 1, "a": 2}', 'process', '', 0, 1.0, 0, 0, 4, '{}', '[]', '{}',
    9, 5, 3, 2, false, now()
FROM unnest(ARRAY['serving', 'fresh']) AS slug;
INSERT INTO orchestrator_worker (id, pool_id, state, runtime, runtime_ref, slots, started_at, ready_at, reason, error, log_tail,
    gpus, gpu_share, cpus, start_phases, created_at)
SELECT gen_random_uuid(), md5('serving')::uuid, state, 'process', '', 4, now(), ready_at, '', '', '', '[]', 1.0, 0, '{}', now()
FROM (VALUES ('starting', NULL), ('ready', timestamptz '2026-01-01')) AS old (state, ready_at);
"""
NOTE_EDITS = """
from django.utils import timezone
from orchestrator.models import Pool
from orchestrator.revisions import note_edit
for pool in Pool.objects.all():
    note_edit(pool.pk, now=timezone.now())
"""


@pytest.fixture
def old_database(process_env: dict[str, str]) -> Iterator[dict[str, str]]:
    """The environment of processes that work on a database of their own."""
    url = process_env["DATABASE_URL"]
    name = f"old_{uuid.uuid4().hex[:8]}"
    start, _, query = url.partition("?")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield {**process_env, "DATABASE_URL": f"{start.rpartition('/')[0]}/{name}?{query}"}
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def manage(env: dict[str, str], *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", *words], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_what_runs_is_the_first_revision_and_an_unchanged_pool_stays_at_it(old_database: dict[str, str]) -> None:
    manage(old_database, "migrate", *BEFORE, "--verbosity", "0")
    with psycopg.connect(old_database["DATABASE_URL"]) as connection:
        connection.execute(OLD_ROWS)
    manage(old_database, "migrate", "--verbosity", "0")
    manage(old_database, "shell", "--command", NOTE_EDITS)
    with psycopg.connect(old_database["DATABASE_URL"]) as connection:
        rollouts = connection.execute(
            "SELECT pool.slug, state, number, target_id, revision.ready_at IS NOT NULL,"
            " (SELECT count(*) FROM orchestrator_worker AS worker WHERE worker.revision_id = revision.id)"
            " FROM orchestrator_rollout JOIN orchestrator_pool AS pool ON pool.id = pool_id"
            " JOIN orchestrator_poolrevision AS revision ON revision.id = current_id ORDER BY pool.slug"
        ).fetchall()
        assert rollouts == [("fresh", "steady", 1, None, False, 0), ("serving", "steady", 1, None, True, 2)]
        with pytest.raises(psycopg.errors.RestrictViolation):
            connection.execute("UPDATE orchestrator_poolrevision SET model = 'another'")


def test_rows_older_than_the_column_of_gpus_say_that_it_is_unknown_which(old_database: dict[str, str]) -> None:
    manage(old_database, "migrate", *BEFORE, "--verbosity", "0")
    with psycopg.connect(old_database["DATABASE_URL"]) as connection:
        connection.execute(OLD_ROWS)
        connection.execute("UPDATE orchestrator_pool SET gpus_per_worker = 2")
        connection.execute("UPDATE orchestrator_worker SET gpus = '[\"0\", \"1\"]' WHERE state = 'ready'")
    manage(old_database, "migrate", "--verbosity", "0")
    with psycopg.connect(old_database["DATABASE_URL"]) as connection:
        found = dict(connection.execute("SELECT state, gpus FROM orchestrator_worker").fetchall())
    assert found == {"starting": [UNKNOWN, UNKNOWN], "ready": ["0", "1"]}
