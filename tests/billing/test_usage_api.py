"""What a tenant is shown of its usage and of its part of the GPU bill, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents.services import create_agent
from billing.models import BilledHour, GpuHour, UsageHour
from tenants.identifiers import new_id
from tenants.models import ApiKey
from tenants.services import issue_key
from tests.api.conftest import Application, ann, bob, refused
from tests.scene import Scene

__all__ = ["ann", "bob"]

USAGE, GPU = "/api/v1/usage", "/api/v1/usage/gpu"
NINE = datetime.fromisoformat("2026-03-02T09:00:00+00:00")
DAY = {"from": "2026-03-02T00:00:00Z", "to": "2026-03-03T00:00:00Z"}


def use(app: Application, hour: datetime, cost: str = "0", **counts: Any) -> None:
    revision = app.party.agent.current_revision
    assert revision is not None
    fields = {"agent": app.party.agent, "pool": revision.pool, "requests": 1, "succeeded": 1, "cost": Decimal(cost)}
    UsageHour.objects.create(tenant=app.party.tenant, hour=hour, **{**fields, **counts})


def rows(app: Application, **query: Any) -> list[dict[str, Any]]:
    answer = app.get(USAGE, **{**DAY, **query})
    assert answer.status_code == 200, answer.content
    found: list[dict[str, Any]] = answer.json()["rows"]
    return found


def test_hours_and_days_and_their_total(ann: Application, bob: Application) -> None:
    use(ann, NINE, "0.000000000001", prompt_tokens=10, cached_tokens=4, completion_tokens=3, turns=2)
    use(ann, NINE + timedelta(hours=2), "12.5", turns=1)
    use(ann, NINE + timedelta(days=1), turns=7)
    use(bob, NINE, "99", turns=50)
    assert [(row["start"], row["turns"], row["cost"]) for row in rows(ann, interval="hour")] == [
        ("2026-03-02T09:00:00Z", 2, "0.000000000001"),
        ("2026-03-02T11:00:00Z", 1, "12.50"),
    ]
    answer = ann.get(USAGE, **DAY).json()
    assert answer == {
        "from": DAY["from"], "to": DAY["to"], "interval": "day", "currency": "USD",
        "total": {
            "requests": 2, "succeeded": 2, "failed": 0, "cancelled": 0, "expired": 0, "turns": 3, "prompt_tokens": 10,
            "cached_tokens": 4, "completion_tokens": 3, "cost": "12.500000000001",
        },
        "rows": [{"start": "2026-03-02T00:00:00Z", **answer["total"]}],
    }  # fmt: skip


def test_groups_and_filters(ann: Application, scene: Scene) -> None:
    key = ApiKey.objects.for_tenant(scene.ann.tenant).get()
    other = create_agent(tenant=scene.ann.tenant, slug="clerk", name="Clerk", pool=scene.pool)
    use(ann, NINE, turns=1)
    use(ann, NINE, turns=2, api_key=key)
    use(ann, NINE, turns=4, api_key=key, agent=other)
    assert [(row["agent"], row["turns"]) for row in rows(ann, group_by="agent")] == [("clerk", 4), ("poet", 3)]
    both = rows(ann, group_by=["key", "model"])
    assert [(row["key"], row["model"], row["turns"]) for row in both] == [
        (str(key.pk), scene.pool.slug, 6),
        (None, scene.pool.slug, 1),
    ]
    assert [row["turns"] for row in rows(ann, key=str(key.pk), agent="poet")] == [2]
    assert [row["turns"] for row in rows(ann, model=scene.pool.slug)] == [7]
    assert rows(ann, model="none") == rows(ann, key=str(new_id())) == []


def test_the_present_is_in_it_by_default(ann: Application) -> None:
    use(ann, timezone.now().replace(minute=0, second=0, microsecond=0), turns=5)
    for interval in ("hour", "day"):
        assert ann.get(USAGE, interval=interval).json()["total"]["turns"] == 5


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "2026-03-02T00:30:00Z"}, "from"),
        ({"from": "2026-03-02T00:00:00"}, "from"),
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-03-02T00:00:00Z", "to": "2026-03-02T00:00:00Z"}, "from"),
        ({"from": "2020-03-02T00:00:00Z"}, "from"),
        ({"interval": "hour", "from": "2026-01-01T00:00:00Z", "to": "2026-06-01T00:00:00Z"}, "from"),
        ({"to": "0001-01-01T00:00:00Z"}, "to"),
        ({"interval": "month"}, "interval"),
        ({"format": "xml"}, "format"),
        ({"key": "mine"}, "key"),
        ({"group_by": "tenant"}, "group_by"),
        ({"tenant": "bob"}, "tenant"),
        ({"cursor": "abc"}, "cursor"),
        ({"agent": ""}, "agent"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_name(ann: Application, query: dict[str, str], field: str) -> None:
    refused(ann.get(USAGE, **query), 400, field)


def test_a_moment_in_another_zone_is_the_same_hour(ann: Application) -> None:
    use(ann, NINE, turns=5)
    (row,) = rows(ann, **{"from": "2026-03-02T10:00:00+01:00", "to": "2026-03-02T11:00:00+01:00"})
    assert row["turns"] == 5
    refused(ann.get(USAGE, **{"from": "2026-03-02T10:00:00+05:30"}), 400, "from")


@pytest.mark.parametrize("by", ["accept", "format"])
def test_csv(ann: Application, by: str) -> None:
    use(ann, NINE, "1.5", turns=2)
    query, headers = (DAY, {"Accept": "text/csv"}) if by == "accept" else ({**DAY, "format": "csv"}, {})
    answer = ann.client.get(USAGE, {**query, "group_by": "agent"}, headers={**ann.party.headers, **headers})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    (line,) = csv.DictReader(io.StringIO(answer.content.decode(), newline=""))
    assert (line["start"], line["agent"], line["turns"], line["cost"]) == ("2026-03-02T00:00:00Z", "poet", "2", "1.50")
    nothing = ann.client.get(USAGE, {**query, "agent": "none"}, headers={**ann.party.headers, **headers})
    assert nothing.content.startswith(b"start,requests,succeeded,")
    assert nothing.content.count(b"\r\n") == 1
    refused(ann.client.get(USAGE, {**query, "key": "x"}, headers={**ann.party.headers, **headers}), 400, "key")


def test_a_key_needs_the_scope(ann: Application, scene: Scene) -> None:
    for scopes, status in ((["tasks:read"], 403), (["usage:read"], 200), ([], 200)):
        secret = issue_key(tenant=scene.ann.tenant, name="k", scopes=scopes).secret
        for path in (USAGE, GPU):
            answer = ann.client.get(path, headers={"Authorization": f"Bearer {secret}"})
            assert answer.status_code == status


def test_the_gpu_bill_shows_a_tenant_its_own_part(ann: Application, bob: Application, scene: Scene) -> None:
    worker = new_id()
    for tenant, kind, ms in ((ann, "busy", 5), (ann, "idle", 2), (bob, "busy", 70), (None, "starting", 900)):
        owner = tenant.party.tenant if tenant else None
        GpuHour.objects.create(tenant=owner, pool=scene.pool, worker=worker, hour=NINE, kind=kind, gpu_ms=ms, cost=ms)
    BilledHour.objects.create(
        pool=scene.pool, hour=NINE, wall_ms=977, starting_ms=900, busy_ms=75, idle_ms=2, unknown_ms=0,
        prompt_weight=1, billed_at=NINE,
    )  # fmt: skip
    answer = ann.get(GPU, **DAY).json()
    counts = {"starting_ms": 0, "busy_ms": 5, "idle_ms": 2, "gpu_ms": 7, "cost": "7.00"}
    row = {**counts, "start": "2026-03-02T00:00:00Z", "model": scene.pool.slug, "is_final": False}
    assert (answer["total"], answer["rows"]) == (counts, [row])
    BilledHour.objects.update(is_final=True)
    assert bob.get(GPU, **DAY, interval="hour").json()["rows"][0]["is_final"]
    assert ann.get(GPU, **DAY, model="none").json()["rows"] == []
    lines = ann.get(GPU, **DAY, format="csv").content.decode().splitlines()
    assert lines[1] == f"2026-03-02T00:00:00Z,{scene.pool.slug},0,5,2,7,7.00,True"
    refused(ann.get(GPU, group_by="key"), 400, "group_by")


def test_a_year_of_days_is_one_query(ann: Application) -> None:
    for day in range(30):
        use(ann, NINE + timedelta(days=day))
    with CaptureQueriesContext(connection) as seen:
        answer = ann.get(USAGE, **{"from": "2026-01-01T00:00:00Z", "to": "2027-01-01T00:00:00Z"})
    assert len(answer.json()["rows"]) == 30
    assert len([query for query in seen if "usagehour" in query["sql"]]) == 1
