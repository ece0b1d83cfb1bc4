"""What the console's first page shows of pools, from a real queue and real rows."""

from __future__ import annotations

from typing import Any

import pytest

from opsite.console.overview import snapshot
from orchestrator.models import Pool
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
