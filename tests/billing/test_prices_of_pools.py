"""A pool's row has the prices of its tokens, whoever writes which of the two."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from rest_framework.test import APIClient

from agents.money import price_at
from billing.models import Price
from orchestrator.models import Pool
from tests.billing.conftest import price
from tests.scene import Scene

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC)


def outputs(pool: Pool) -> list[str]:
    pool.refresh_from_db()
    return [one["output"] for one in pool.token_prices]


def test_the_row_follows_the_prices(scene: Scene) -> None:
    pool = scene.pool
    assert outputs(pool) == []
    later = price(pool, NOW + timedelta(days=1), input="1", output="3")
    price(pool, NOW - timedelta(days=1), input="0.000001", cached_input="0.5", output="2")
    assert outputs(pool) == ["2.000000", "3.000000"]
    found = price_at(pool.token_prices, now=NOW)
    assert found is not None
    assert (found.input, found.cached_input) == (Decimal("0.000001"), Decimal("0.5"))
    Price.objects.filter(pk=later.pk).update(output=Decimal(4))
    assert outputs(pool) == ["2.000000", "4.000000"]
    later.delete()
    assert outputs(pool) == ["2.000000"]


def test_who_saves_an_old_row_puts_no_old_prices_back(scene: Scene) -> None:
    stale = Pool.objects.get(pk=scene.pool.pk)
    price(scene.pool, NOW, output="2")
    stale.name = "Renamed"
    stale.save()
    assert outputs(scene.pool) == ["2.000000"]


def test_an_agent_of_a_pool_without_prices_has_no_limit_of_money(scene: Scene) -> None:
    client = APIClient(headers=scene.ann.headers)
    limited = {"limits": {"max_cost": "0.50"}}
    refused = client.patch("/api/v1/agents/poet", limited, format="json")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "limits.max_cost")
    assert "no price" in refused.json()["detail"]
    draft = client.post("/api/v1/agents/poet/revisions", limited, format="json")
    assert (draft.status_code, draft.json()["errors"][0]["field"]) == (400, "limits.max_cost")
    price(scene.pool, NOW, output="2")
    taken = client.patch("/api/v1/agents/poet", limited, format="json")
    assert taken.status_code == 200, taken.json()
    scene.ann.agent.refresh_from_db()
    assert scene.ann.agent.current_revision is not None
    assert scene.ann.agent.current_revision.limits == {"max_cost": "0.5"}
