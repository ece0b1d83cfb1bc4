"""What a worker was given as a secret: hidden wherever it says it, before anything keeps it."""

from __future__ import annotations

import json
import logging
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.utils import timezone
from redis import Redis

from console.topics import TOPICS
from orchestrator import records
from orchestrator.loop import Orchestrator
from orchestrator.masking import arguments, mask_of
from orchestrator.models import Pool, Rollout, ScalingDecision, Worker
from orchestrator.revisions import note_edit
from staff.access import Access
from staff.models import StaffRole
from taskqueue.looks import Looks
from tests.orchestrator.conftest import Site, wait_for

TOKEN = "hf_sesame-street"
WORKER = """#!/bin/sh
echo "reads the weights with $HF_TOKEN of redis://worker:$HF_TOKEN@host:6379"
while [ ! -e {go} ]; do sleep 0.05; done
echo "opsite-worker: error: nobody knows the token $HF_TOKEN"
exit 78
"""


# -- pure ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("settings", "said", "told"),
    [
        ({"API_KEY": "sesame", "PIN": "sesame", "SHORT_KEY": "abc"}, "sesame abc", "••• abc"),
        ({"A_TOKEN": "longer", "B_TOKEN": "longer-still"}, "longer-still longer", "••• •••"),
        ({"A_KEY": 'quo"ted\n'}, r'{"message": "quo\"ted\n"}', '{"message": "•••"}'),
        ({"A_KEY": "a/b c=d"}, "https://h/?k=a%2Fb%20c%3Dd", "https://h/?k=•••"),
        ({"A_KEY": "-----BEGIN\nfirst-line\nsecond-line\n"}, "x\nsecond-line", "x\n•••"),
        ({"hub": {"auth": [{"token": "nested-one"}]}}, "with nested-one", "with •••"),
        ({"A_TOKEN": "0123456789"}, "3456789 is its rest", "••• is its rest"),
        ({"A_TOKEN": "0123456789"}, "56789 may be anything", "56789 may be anything"),
        ({}, "redis://worker:secret@host:6379/0 and https://u:p@h/x", "redis://…@host:6379/0 and https://…@h/x"),
        ({}, "unix://worker%3Aa:secret@/run/redis.sock", "unix://…@/run/redis.sock"),
        (["no", "mapping"], "nothing", "nothing"),
    ],
)
def test_what_is_secret_by_its_name_is_found_however_it_is_written(settings: Any, said: str, told: str) -> None:
    assert mask_of(settings).hide(said) == told


def test_arguments_are_shown_without_what_is_secret_by_its_name() -> None:
    shown = {"max_num_batched_tokens": 8, "tokenizer": "org/model", "kv_cache_dtype": "fp8"}
    hidden = {"hf_token": "abc", "hub": {"auth_key": "abc", "n": 1}, "auth": ["abc"]}
    assert arguments({**shown, **hidden}) == {
        **shown, "hf_token": "•••", "hub": {"auth_key": "•••", "n": 1}, "auth": ["•••"],
    }  # fmt: skip


# -- a real worker ---------------------------------------------------------------------------------
def test_a_secret_in_a_worker_s_log_is_in_no_table_no_log_line_and_no_topic(
    site: Site, running: Orchestrator, redis: Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    script, go = tmp_path / "worker", tmp_path / "go"
    script.write_text(WORKER.format(go=go))
    script.chmod(0o755)
    pool = site.pool(policy={"min_workers": 1})
    wait_for(lambda: site.ready(pool), what="there is something to go back to")
    Pool.objects.filter(pk=pool.pk).update(env={"HF_TOKEN": TOKEN, "OPSITE_WORKER_PYTHON": str(script)})
    target = note_edit(pool.pk, now=timezone.now()).target
    row = wait_for(lambda: Worker.objects.filter(revision=target, runtime_ref__gt="").first(), what="one is started")
    seen = wait_for(
        lambda: (glimpse := Looks(redis).look(pool=pool.slug, worker=str(row.pk)).glimpse) and glimpse.lines,
        what="its log is shown",
    )
    assert seen == ("reads the weights with ••• of redis://…@host:6379",)
    topics = told_topics(pool, row)

    go.touch()
    rollout = wait_for(
        lambda: Rollout.objects.filter(pool=pool, state=Rollout.State.FAILED).first(), what="the roll-out has failed"
    )
    row.refresh_from_db()
    assert row.error == "nobody knows the token •••"
    assert "weights with ••• of redis://…@host" in row.log_tail
    assert row.error in rollout.reason
    assert rollout.log_tail == row.log_tail
    wait_for(lambda: row.error in " ".join(site.reasons(pool)), what="a decision tells of it")
    assert f"worker {row.pk} failed: {row.error}" in caplog.text
    topics += told_topics(pool, row)
    assert row.error in topics
    assert TOKEN not in topics
    assert TOKEN not in caplog.text
    assert tables_that_hold(TOKEN) == {"orchestrator_pool", "orchestrator_poolrevision"}


def told_topics(pool: Pool, worker: Worker) -> str:
    operator = Access(StaffRole.Role.OPERATOR)
    of = {"overview": "", "pool": pool.slug, "worker": str(worker.pk)}
    return "".join(
        json.dumps(TOPICS[name].read(operator, one), default=str, ensure_ascii=False) for name, one in of.items()
    )


def tables_that_hold(text: str) -> set[str]:
    found = set()
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            name = connection.ops.quote_name(table)
            cursor.execute(
                f"SELECT EXISTS (SELECT FROM {name} AS one WHERE to_jsonb(one)::text LIKE %s)", [f"%{text}%"]
            )
            if cursor.fetchone() == (True,):
                found.add(table)
    return found


# -- what was kept before -------------------------------------------------------------------------
def test_words_that_were_kept_before_are_masked_by_the_migration(site: Site) -> None:
    pool = site.pool(env={"HF_TOKEN": TOKEN})
    said, now = f"bad token {TOKEN}", timezone.now()
    rollout = note_edit(pool.pk, now=now)
    row = records.new_worker(pool, rollout.current, reason="r", now=time.time())
    Worker.objects.update(error=said, log_tail=f"one\n{said}")
    Rollout.objects.update(reason=said, log_tail=said)
    ScalingDecision.objects.create(pool=pool, at=now, current=0, desired=1, reason=said, signals={"note": [said]})
    import_module("orchestrator.migrations.0021_words_without_secrets").mask(apps, None)
    row.refresh_from_db()
    assert (row.error, row.log_tail) == ("bad token •••", "one\nbad token •••")
    assert set(Rollout.objects.values_list("reason", "log_tail")) == {("bad token •••", "bad token •••")}
    assert list(ScalingDecision.objects.values_list("reason", "signals")) == [
        ("bad token •••", {"note": ["bad token •••"]})
    ]
