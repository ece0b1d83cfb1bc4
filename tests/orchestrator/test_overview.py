"""What the console's first page shows of pools, from a real queue and real rows."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from console.overview.state import snapshot
from orchestrator import records
from orchestrator.models import Pool
from orchestrator.policies.demand import Decision
from orchestrator.revisions import note_edit
from tests.orchestrator.conftest import Site

pytestmark = pytest.mark.django_db


def shown(pool: Pool) -> dict[str, object]:
    return next(row for row in snapshot()["pools"] if row["slug"] == pool.slug)


def test_each_pool_is_shown_with_its_own_demand(site: Site) -> None:
    busy, idle = site.pool(), site.pool()
    site.submit(busy, 3)
    assert shown(busy)["waiting"] == 3
    assert shown(idle)["waiting"] == 0
    assert shown(busy)["workers"] == {"starting": 0, "ready": 0, "draining": 0}


def test_a_pool_whose_name_no_queue_can_have_does_not_hide_the_others(site: Site) -> None:
    bad, good = site.pool(), site.pool()
    Pool.objects.filter(pk=bad.pk).update(slug="Bad {1}")
    site.submit(good, 1)
    bad.refresh_from_db()
    assert "use lower-case letters" in str(shown(bad)["error"])
    assert shown(good)["waiting"] == 1


def test_a_redis_that_is_away_is_said(site: Site, settings: Any) -> None:
    settings.REDIS_URL = f"unix://{site.folder}/nobody.sock"
    assert shown(site.pool())["error"] == "Redis does not answer: demand is unknown."


def test_a_roll_out_and_what_refuses_now_are_said(site: Site) -> None:
    pool = site.pool()
    assert (shown(pool)["rollout"], shown(pool)["refusals"]) == ("", [])
    revision = note_edit(pool.pk, now=timezone.now()).current
    revision.ready_at = timezone.now()
    revision.save()
    Pool.objects.filter(pk=pool.pk).update(model="another")
    note_edit(pool.pk, now=timezone.now(), by="ann")
    known = {"room": "No GPU is free.", "rolling": "Revision 2 is being rolled out.", "paused": "The pool is paused."}
    for at, refusals in ((1e9, {"maximum": "It was."}), (2e9, known)):
        made = Decision(1, "Reason.", "hold")
        records.keep_decision(pool, made, inputs={}, current=1, note="", refusals=refusals, now=at)
    assert shown(pool)["rollout"] == "Revision 2: rolling out. The pool was edited."
    assert shown(pool)["refusals"] == ["No GPU is free."]
