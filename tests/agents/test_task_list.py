"""The list of tasks: its filters, its columns, and what it asks of Postgres."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from agents.models import Task, Turn
from agents.money import cost_of
from agents.task_columns import money, seconds
from agents.task_filters import dead_letters
from billing.models import Price
from tenants.models import ApiKey
from tests.scene import Party, Scene
from tests.staff.members import member


def ended(party: Party, state: str = "succeeded", **more: Any) -> Task:
    return party.task(state=state, finished_at=timezone.now(), **more)


def shown(client: Client, **asked: str) -> set[str]:
    """Ids of the tasks that the list has for these filters."""
    page = client.get(reverse("admin:agents_task_changelist"), asked)
    assert page.status_code == 200, page.headers.get("location")
    return {str(task.pk) for task in page.context["cl"].result_list}


def test_each_filter_has_its_tasks(admin_client: Client, scene: Scene) -> None:
    key = ApiKey.objects.for_tenant(scene.ann.tenant).get()
    poison = ended(scene.ann, "failed", error={"code": "poison", "message": "…"})
    broken = ended(scene.ann, "failed", error={"code": "engine_error", "message": "…"})
    keyed = ended(scene.bob, api_key=key)
    batched = ended(scene.bob, "cancelled", metadata={"batch": "batch_1"})
    runs = scene.bob.task(state="running")
    old = ended(scene.bob)
    Task.objects.for_tenant(scene.bob.tenant).filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=8))
    mine = {str(one.pk) for one in (poison, broken)}
    every = {*mine, *(str(one.pk) for one in (keyed, batched, runs, old))}

    def only(*tasks: Task, **asked: str) -> None:
        assert shown(admin_client, **asked) == {str(task.pk) for task in tasks}, asked

    assert shown(admin_client) == every
    assert shown(admin_client, tenant__id__exact=str(scene.ann.tenant.pk)) == mine
    assert shown(admin_client, agent__id__exact=str(scene.ann.agent.pk)) == mine
    only(keyed, api_key__id__exact=str(key.pk))
    only(runs, state="open")
    only(runs, state="running")
    only(batched, state="cancelled")
    only(broken, error_code="engine_error")
    only(error_code="engine")
    only(poison, dead_letter="all")
    only(batched, origin="batch")
    assert shown(admin_client, origin="interactive") == every - {str(batched.pk)}
    assert shown(admin_client, created_at__within="7d") == every - {str(old.pk)}
    until = timezone.now() - timedelta(days=7)
    only(old, created_at__until=f"{until:%Y-%m-%dT%H:%M}")
    assert shown(admin_client, created_at__since=f"{timezone.now():%Y-%m-%dT00:00}") == every - {str(old.pk)}
    assert shown(admin_client, pool=scene.pool.slug) == every
    only(pool="another")


def test_the_columns_tell_what_a_task_took(admin_client: Client, scene: Scene) -> None:
    begin = timezone.now() - timedelta(minutes=5)
    prices = {"input": Decimal(2), "cached_input": Decimal("0.5"), "output": Decimal(8)}
    Price.objects.create(pool=scene.pool, valid_from=begin - timedelta(days=1), **prices)
    task = ended(scene.ann, "failed", error={"code": "engine_error", "message": "The engine broke."}, attempts=2)
    Task.objects.for_tenant(scene.ann.tenant).filter(pk=task.pk).update(
        created_at=begin, started_at=begin + timedelta(seconds=2.5), finished_at=begin + timedelta(seconds=65),
        prompt_tokens=1234, completion_tokens=56,
    )  # fmt: skip
    Turn.objects.for_tenant(scene.ann.tenant).filter(task=task).update(
        prompt_tokens=1234, cached_tokens=200, completion_tokens=56, finished_at=begin + timedelta(seconds=65)
    )
    page = admin_client.get(reverse("admin:agents_task_changelist")).content.decode()
    for words in (
        reverse("console:task", args=[task.pk]), "poet r1", "2.50 s", "1 min 05 s", "1,234 + 56", "0.002616", "cost, USD",
        "engine_error: The engine broke.", scene.pool.slug,
    ):  # fmt: skip
        assert words in page, words


def test_a_cost_is_exact_and_by_the_price_of_its_moment() -> None:
    prices = [
        {"valid_from": "2026-01-01T00:00:00Z", "input": "0.1", "cached_input": "0", "output": "0"},
        {"valid_from": "2026-02-01T00:00:00Z", "input": "1", "cached_input": "0", "output": "3"},
    ]

    def cost(month: int, cached: int = 0) -> Decimal | None:
        at = datetime(2026, month, 15, tzinfo=UTC)
        return cost_of(prompt_tokens=1, cached_tokens=cached, completion_tokens=1, prices=prices, at=at)

    assert [cost(1), cost(2), cost(2, 9)] == [Decimal("0.0000001"), Decimal("0.000004"), Decimal("0.000003")]
    assert cost_of(prompt_tokens=1, cached_tokens=0, completion_tokens=1, prices=[], at=datetime.now(UTC)) is None
    assert (money(Decimal("0.000004")), money(Decimal(0))) == ("0.000004 USD", "0 USD")


def test_durations_as_people_read_them() -> None:
    begin = datetime(2026, 3, 1, tzinfo=UTC)
    told = {0.4: "0.40 s", 12.34: "12.3 s", 59.99: "1 min 00 s", 245: "4 min 05 s", 7380: "2 h 03 min", -1: "0.00 s"}
    assert {lasts: seconds(begin, begin + timedelta(seconds=lasts)) for lasts in told} == told


def test_queries_do_not_grow_with_the_rows(admin_client: Client, scene: Scene) -> None:
    url = reverse("admin:agents_task_changelist")
    counts = []
    ended(scene.ann)
    admin_client.get(url)
    for more in (0, 12):
        for _ in range(more):
            ended(scene.bob)
        with CaptureQueriesContext(connection) as captured:
            assert admin_client.get(url).status_code == 200
        counts.append(len(captured))
    assert counts[0] == counts[1] <= 14, counts
    assert not any('"input"' in query["sql"] for query in captured.captured_queries), "the rows are read whole"


@pytest.mark.parametrize(
    ("narrowed", "index"),
    [
        (lambda rows, scene: rows.filter(agent=scene.ann.agent), "task_by_agent"),
        (lambda rows, scene: rows.filter(pool=scene.pool), "task_by_pool"),
        (lambda rows, scene: rows.filter(api_key=scene.ann.tenant.pk), "task_by_key"),
        (lambda rows, scene: rows.filter(tenant=scene.ann.tenant), "task_by_tenant"),
        (lambda rows, scene: rows.filter(state="cancelled"), "task_ended_badly"),
        (lambda rows, scene: rows.filter(metadata__has_key="batch"), "task_of_batches"),
        (lambda rows, scene: dead_letters(rows), "task_dead_letters"),
    ],
    ids=["agent", "pool", "key", "tenant", "state", "batch", "dead letters"],
)
def test_an_index_serves_each_filter_in_the_order_of_time(scene: Scene, narrowed: Any, index: str) -> None:
    rows: QuerySet[Task] = narrowed(Task.objects.across_tenants().only("id", "created_at"), scene)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off")
    plan = rows[:100].explain()
    assert f"using {index}" in plan, plan
    assert "Sort" not in plan, plan


def test_a_tenant_administrator_sees_nothing_of_others(scene: Scene, client: Client) -> None:
    client.force_login(member("tenant_administrator", scene.ann.tenant))
    mine = ended(scene.ann)
    ended(scene.bob)
    scene.bob.agent.slug = "very-secret"
    scene.bob.agent.save()
    assert shown(client) == {str(mine.pk)}
    page = client.get(
        reverse("admin:agents_task_changelist"), {"agent__id__exact": str(scene.bob.agent.pk)}
    ).content.decode()
    assert "very-secret" not in page
