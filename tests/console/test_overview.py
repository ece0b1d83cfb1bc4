"""What the console's first page shows, from a real queue and real rows, by a fixed number of queries."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from agents.models import Task
from benchmarks.heartbeats import beat
from benchmarks.standing_fleet import stand
from console.overview import heartbeat, reads, state
from console.overview.facts import SideFacts
from console.overview.hour import last_hour
from console.overview.rates import TokenRates
from console.overview.side import Side
from console.overview.side import read as read_side
from console.overview.state import snapshot
from orchestrator import records
from orchestrator.demand_rows import DemandMinute
from orchestrator.loop import Orchestrator
from orchestrator.models import Pool, Worker
from orchestrator.policies.demand import Decision
from orchestrator.revisions import note_edit
from orchestrator.stock_models import StockItem
from orchestrator.turn_rows import TurnMinute
from staff.access import Access
from taskqueue.connections import connect
from tests.orchestrator.conftest import Site, leading, site
from tests.scene import Scene
from tests.staff.members import at_the_console

__all__ = ["leading", "site"]

pytestmark = pytest.mark.django_db
QUERIES = 10
"""Of a snapshot, whatever there is."""


def look(**side: Any) -> dict[str, Any]:
    return snapshot(side=SideFacts(**side), rates=TokenRates())


def shown(pool: Pool) -> dict[str, Any]:
    return next(row for row in look()["pools"] if row["slug"] == pool.slug)


def sentences(pool: Pool | None = None) -> list[str]:
    """What is wrong with a pool, or with the service."""
    slug = "" if pool is None else pool.slug
    return [one["sentence"].removeprefix(f"{slug}: ") for one in look()["findings"] if one["pool"] == slug]


def decide(pool: Pool, at: float, **refusals: str) -> None:
    records.keep_decision(
        pool, Decision(1, "Reason.", "hold"), inputs={}, current=1, note="", refusals=refusals, now=at
    )


def worker(pool: Pool, state: str = "ready", **fields: Any) -> Worker:
    revision = note_edit(pool.pk, now=timezone.now()).current
    return Worker.objects.create(
        pool=pool,
        revision=revision,
        runtime="process",
        slots=8,
        state=state,
        **{"started_at": timezone.now(), **fields},
    )


def test_each_pool_is_shown_with_its_own_demand(site: Site) -> None:
    busy, idle = site.pool(), site.pool()
    site.submit(busy, 3)
    assert shown(busy)["waiting"] == 3
    assert shown(idle)["waiting"] == 0
    assert shown(busy)["workers"] == {"starting": 0, "ready": 0, "draining": 0}
    assert look()["totals"]["waiting"] == 3


def test_a_pool_whose_name_no_queue_can_have_does_not_hide_the_others(site: Site) -> None:
    bad, good = site.pool(), site.pool()
    Pool.objects.filter(pk=bad.pk).update(slug="Bad {1}")
    site.submit(good, 1)
    bad.refresh_from_db()
    assert "use lower-case letters" in shown(bad)["error"]
    assert "its queue cannot be read" in sentences(bad)[0]
    assert shown(good)["waiting"] == 1


def test_a_redis_that_is_away_is_one_finding(site: Site, settings: Any) -> None:
    settings.REDIS_URL = f"unix://{site.folder}/nobody.sock"
    pools = [site.pool(), site.pool()]
    assert [sentence[:23] for sentence in sentences()] == ["Redis does not answer: ", "No orchestrator leads: "]
    assert [shown(pool)["severity"] for pool in pools] == [None, None]
    assert "waiting" not in shown(pools[0])


def test_a_postgres_that_is_away_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> list[Pool]:
        raise OperationalError("connection refused")

    monkeypatch.setattr(reads, "pools", away)
    found = state.read(Access("viewer"), "")
    assert "pools" not in found
    assert found["findings"][0]["sentence"].startswith("Postgres does not answer:")


def test_waits_rates_and_errors_are_those_of_the_last_minutes(site: Site) -> None:
    pool, now = site.pool(), timezone.now()
    minute = now.replace(second=0, microsecond=0)
    counts = {"claimed": 4, "tasks_begun": 3, "ended": 20, "failed": 5}
    TurnMinute.objects.create(pool=pool, minute=minute, waits=[0] * 27 + [4], longest_wait_ms=1000, **counts)
    TurnMinute.objects.create(
        pool=pool, minute=minute - timedelta(minutes=9), waits=[9], ended=90, failed=90, claimed=9
    )
    row = shown(pool)
    assert (row["ended"], row["failed"]) == (20, 5)
    assert 0.9 < row["wait_p50_s"] <= row["wait_p95_s"] <= 1.0
    assert 1.5 <= row["tasks_per_min"] <= 3
    assert row["severity"] == 2
    assert sentences(pool) == ["25% of its turns failed in the last 5 minutes (5 of 20)."]


def test_what_refuses_is_said_since_when_it_does(site: Site) -> None:
    pool = site.pool()
    decide(pool, 1e9, room="No GPU is free.")
    decide(pool, 2e9, maximum="It was.")
    decide(pool, 3e9, room="No GPU is free.", maximum="It was.")
    decide(pool, 4e9, room="No GPU is free.", rolling="Revision 2.")
    found = [one for one in look()["findings"] if one["pool"] == pool.slug]
    assert [(one["sentence"], one["since"]) for one in found] == [(f"{pool.slug}: No GPU is free.", 3e9)]
    assert shown(pool)["decision"]["reason"] == "Reason."


def test_failed_starts_silent_workers_and_roll_outs_are_said(site: Site) -> None:
    pool, now = site.pool(), timezone.now()
    quiet = worker(pool, ready_at=now)
    for minutes, error in ((20, "old"), (2, "older"), (1, "no such model")):
        at = now - timedelta(minutes=minutes)
        worker(pool, "failed", error=error, stopped_at=at, started_at=at)
    rollout = pool.rollout
    Pool.objects.filter(pk=pool.pk).update(model="another")
    rollout.current.ready_at = now
    rollout.current.save()
    note_edit(pool.pk, now=now)
    type(rollout).objects.update(state="canary", reason="1 of 4 is new.")
    assert sorted(sentences(pool)) == [
        "2 workers failed in the last 15 minutes. The last said: no such model",
        "the roll-out of revision 2 waits for your word. 1 of 4 is new.",
        f"worker {str(quiet.pk)[-8:]} is silent.",
    ]
    places = {one["url"] for one in look()["findings"] if one["pool"] == pool.slug}
    assert places == {
        f"/console/pools/{pool.slug}/",
        f"/console/workers/{quiet.pk}/",
        f"{reverse('admin:orchestrator_worker_changelist')}?pool__id__exact={pool.pk}",
    }


def test_who_leads_is_seen_and_when_nobody_does(site: Site, leading: Orchestrator) -> None:
    site.pool(policy={"max_workers": 0})
    leading.tick()
    assert sentences() == []
    leading._leadership.resign()
    assert [sentence[:21] for sentence in sentences()] == ["No orchestrator leads"]


def test_a_snapshot_takes_the_same_queries_whatever_there_is(site: Site) -> None:
    counts = []
    for pools, workers in ((2, 4), (40, 200)):
        standing = stand(pools=pools, workers=workers, limited=0, redis_url=site.redis_url)
        client = connect(site.redis_url)
        beat(client, standing.workers, beats=1)
        client.close()
        for pool in Pool.objects.all():
            decide(pool, 1e9, room="No GPU is free.")
            TurnMinute.objects.get_or_create(pool=pool, minute=timezone.now().replace(second=0, microsecond=0))
        with CaptureQueriesContext(connection) as seen:
            found = look()
        counts.append(len(seen))
        assert (
            found["totals"]["workers"]
            == Worker.objects.count()
            == sum(row["workers"]["ready"] for row in found["pools"])
        )
    assert counts[0] == counts[1] <= QUERIES
    with CaptureQueriesContext(connection) as seen:
        last_hour(now=timezone.now().timestamp())
    assert len(seen) == 4


def test_the_last_hour_has_gaps_where_nobody_saw(site: Site) -> None:
    pool, now = site.pool(), timezone.now().timestamp()
    for minutes, ready in ((1, 2), (3, 1), (61, 9)):
        at = records.moment(now // 60 * 60 - 60 * minutes)
        DemandMinute.objects.create(
            pool=pool, minute=at, arrived=0, arrived_tokens=0, most_waiting=6, arrived_after=0, tokens_after=0, running=4,
            ready=ready,
        )  # fmt: skip
    hour = last_hour(now=now)
    found = hour["pools"][pool.slug]
    assert (len(hour["times"]), hour["times"][-1]) == (60, now // 60 * 60 - 60)
    assert found["ready"][-4:] == [None, 1, None, 2]
    assert found["demand"] == [2.5 if ready else None for ready in found["ready"]]
    assert found["ready"].count(None) == 58


# -- beside the pools ------------------------------------------------------------------------------
def test_dead_letters_budgets_and_stock_are_counted(scene: Scene) -> None:
    now = timezone.now()
    dead = {"state": "failed", "finished_at": now}
    letter = scene.ann.task(**dead, error={"code": "poison", "message": "m"})
    scene.ann.task(**dead, error={"code": "engine_error", "message": "m"})
    scene.bob.task(**dead, error={"code": "attempts_exhausted", "message": "m"})
    again = scene.ann.task()
    Task.objects.for_tenant(scene.ann.tenant).filter(pk=again.pk).update(rerun_of=letter)
    type(scene.bob.tenant).objects.filter(pk=scene.bob.tenant.pk).update(budget_spent_until=now + timedelta(days=1))
    StockItem.objects.create(host="h", kind="image", name="x:1", state="failed", error="denied", changed_at=now)
    facts = read_side(now, since=now)
    assert facts.dead_letters == 1
    assert facts.spent_tenants == (scene.bob.tenant.slug,)
    assert [error.sentence for error in facts.stock_errors] == ["image x:1 cannot be fetched: denied"]
    assert (facts.overdue, facts.bill_due_since) == ((), None)


def test_celery_is_awaited_from_the_first_look_on_and_then_from_its_last_word(settings: Any) -> None:
    now = timezone.now()
    begun = now.timestamp() + 60
    cache.delete(heartbeat.KEY)
    facts = read_side(now, since=now)
    assert (facts.celery_heard_at, facts.celery_due_at) == (None, begun)
    heartbeat.beat(now.timestamp() - 9, within_s=1800)
    facts = read_side(now, since=now)
    assert (facts.celery_heard_at, facts.celery_due_at) == (now.timestamp() - 9, now.timestamp() + 1791)
    heartbeat.beat(now.timestamp() - 9000, within_s=60)  # before the night
    assert read_side(now, since=now).celery_due_at == begun
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": ["redis://127.0.0.1:1"]}}
    assert heartbeat.heard() is None, "of a Redis that is away the overview tells elsewhere"


def test_what_changes_slowly_is_not_read_at_each_snapshot(django_assert_num_queries: Any) -> None:
    now = [0.0]
    side = Side(clock=lambda: now[0])
    side.facts()
    with django_assert_num_queries(0):
        side.facts()
    now[0] += 16
    with CaptureQueriesContext(connection) as seen:
        side.facts()
    assert 0 < len(seen) <= 11


# -- who may open it -------------------------------------------------------------------------------
def page_of(role: str, django_assert_max_num_queries: Any) -> str:
    client = at_the_console(role)
    with django_assert_max_num_queries(8):
        return client.get(reverse("admin:index")).content.decode()


def test_who_sees_all_tenants_begins_with_the_overview(django_assert_max_num_queries: Any) -> None:
    assert 'id="overview"' in page_of("viewer", django_assert_max_num_queries)
