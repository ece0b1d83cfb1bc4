"""A list as staff reads it: its pages, its size, its order, its filters, and what it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.utils import timezone

from agents.models import Task
from orchestrator.demand_rows import DemandMinute
from orchestrator.models import Worker
from orchestrator.revisions import note_edit
from staff.lists import change_list, sizes
from tests.scene import Scene

TASKS = "/console/agents/task/"
WORKERS = "/console/orchestrator/worker/"


def ids(response: Any) -> list[str]:
    return [str(row.pk) for row in response.context["cl"].result_list]


def said(response: Any) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def link(response: Any, rel: str) -> str:
    found = re.search(rf'rel="{rel}" href="([^"]*)"', response.content.decode())
    return TASKS + unescape(found[1]) if found else ""


@pytest.fixture
def many(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """12 tasks, newest first; a page has 5."""
    monkeypatch.setattr(admin.site.get_model_admin(Task), "list_per_page", 5)
    return [str(scene.ann.task().pk) for _ in range(12)][::-1]


def test_pages_lead_to_each_other(operator: Client, many: list[str]) -> None:
    first = operator.get(TASKS)
    second = operator.get(link(first, "next"))
    third = operator.get(link(second, "next"))
    assert [ids(first), ids(second), ids(third)] == [many[:5], many[5:10], many[10:]]
    assert not link(first, "prev")
    assert not link(third, "next")
    assert ids(operator.get(link(third, "prev"))) == many[5:10]
    assert ids(operator.get(link(operator.get(link(third, "prev")), "prev"))) == many[:5]
    assert "12 tasks" in second.content.decode()


def test_a_key_without_scopes_may_do_everything(operator: Client, scene: Scene) -> None:
    page = operator.get("/console/tenants/apikey/").content.decode()
    assert '<td class="field-may_do' in page
    assert "everything" in page


def test_a_form_leads_to_no_other_form_like_it(operator: Client, scene: Scene) -> None:
    way = 'aria-label="Add tenant"'
    assert way in operator.get("/console/tenants/tenant/").content.decode()
    assert way not in operator.get("/console/tenants/tenant/add/").content.decode()


def test_a_page_before_few_rows_is_the_first_page(operator: Client, many: list[str]) -> None:
    second = operator.get(link(operator.get(TASKS), "next"))
    before = link(second, "prev")
    Task.objects.across_tenants().filter(pk=many[0]).delete()
    assert ids(operator.get(before)) == many[1:6]


def test_links_of_filters_and_headers_begin_at_the_first_page(operator: Client, many: list[str]) -> None:
    second = operator.get(link(operator.get(TASKS + "?state__exact=queued"), "next"))
    page = second.content.decode()
    others = [one for one in re.findall(r'href="\?([^"]*)"', page) if "after=" in one or "before=" in one]
    assert len(others) == 2, "only the links between pages keep a cursor"
    assert 'name="after"' not in page


def test_a_page_that_there_is_not_is_said(operator: Client, many: list[str]) -> None:
    response = operator.get(TASKS + "?after=nonsense", follow=True)
    assert response.redirect_chain == [(f"{TASKS}?e=1", 302)]
    assert "named a filter, an order or a page that there is not" in response.content.decode()


@pytest.fixture
def worker(scene: Scene) -> Worker:
    """One that started half an hour ago."""
    return Worker.objects.create(
        pool=scene.pool,
        revision=note_edit(scene.pool.pk, now=timezone.now()).current,
        runtime="process",
        slots=1,
        started_at=timezone.now() - timedelta(minutes=30),
    )


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("started_at__within=1y", "'1y' is no span"),
        ("started_at__since=yesterday", "'yesterday' is no moment"),
        ("started_at__until=2026-02-31T00:00", "is no moment"),
    ],
)
def test_a_time_that_is_none_finds_nothing_and_is_said(operator: Client, worker: Worker, query: str, why: str) -> None:
    response = operator.get(f"{WORKERS}?{query}")
    assert ids(response) == []
    assert why in unescape(response.content.decode())


@pytest.mark.parametrize(
    ("query", "is_there"),
    [
        ("started_at__within=1h", True),
        ("started_at__within=15m", False),
        ("started_at__until=2026-01-01T00:00", False),
        ("started_at__since=2020-01-01T00:00&started_at__within=24h", True),
        ("started_at__since=&started_at__until=&started_at__within=", True),
    ],
)
def test_time_spans(operator: Client, worker: Worker, query: str, is_there: bool) -> None:
    assert ids(operator.get(f"{WORKERS}?{query}")) == ([str(worker.pk)] if is_there else [])


def test_long_lists_are_sorted_by_indexes_alone(operator: Client, many: list[str]) -> None:
    page = operator.get(TASKS)
    columns = page.context["cl"].list_display
    by = {columns[int(number)] for number in re.findall(r"\?o=-?(\d+)", page.content.decode())}
    assert by == {"page"}
    ascending = columns.index("page")
    assert ids(operator.get(f"{TASKS}?o={ascending}")) == many[::-1][:5]
    assert ids(operator.get(f"{TASKS}?o={columns.index('tokens')}.{ascending}")) == many[::-1][:5]
    assert ids(operator.get(f"{TASKS}?o=99.x.-")) == many[:5]


def test_large_sizes_are_estimated(operator: Client, many: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "COUNTED_TO", 3)
    page = operator.get(TASKS).content.decode()
    assert "about " in page
    assert "(estimated)" in page
    assert str(sizes.Size(1_042_613, is_exact=False)) == "about 1,000,000"
    assert str(sizes.Size(7, is_exact=False)) == "about 7"
    assert str(sizes.Size(12_345)) == "12,345"


def test_few_rows_are_counted_though_the_planner_remembers_many(scene: Scene) -> None:
    begun = timezone.now()
    DemandMinute.objects.bulk_create(
        DemandMinute(
            pool=scene.pool, minute=begun + timedelta(minutes=number), arrived=0, arrived_tokens=0, most_waiting=0,
            arrived_after=0, tokens_after=0,
        )
        for number in range(3_000)
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {DemandMinute._meta.db_table}")
    assert sizes.size_of(DemandMinute.objects.all()) == sizes.Size(3_000, is_exact=False)
    DemandMinute.objects.filter(minute__gt=begun + timedelta(minutes=6)).delete()
    assert sizes.size_of(DemandMinute.objects.all()) == sizes.Size(7)


def test_an_action_takes_a_bounded_number_of_rows(
    operator: Client, many: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("staff.lists.admin", "staff.lists.change_list"):
        monkeypatch.setattr(f"{module}.SELECTED_AT_MOST", 10)
    assert change_list.SELECTED_AT_MOST == 10
    assert not operator.get(TASKS).context["cl"].may_select_all
    asked = {"action": "cancel", "index": "0", "select_across": "1", "_selected_action": many[0]}
    response = operator.post(TASKS, asked)
    assert "An action takes 10 rows at most" in said(response)
    assert Task.objects.across_tenants().filter(state="queued").count() == 12


def test_tenants_are_found_by_typing_never_listed(operator: Client, scene: Scene, many: list[str]) -> None:
    page = operator.get(TASKS).content.decode()
    assert str(scene.bob.tenant.pk) not in page
    assert 'data-model-name="task"' in page
    assert 'data-field-name="tenant"' in page
    chosen = operator.get(f"{TASKS}?tenant__id__exact={scene.bob.tenant.pk}")
    assert scene.bob.tenant.slug in chosen.content.decode()
    assert ids(chosen) == []
    found = operator.get(
        "/console/autocomplete/",
        {"app_label": "agents", "model_name": "task", "field_name": "tenant", "term": scene.bob.tenant.slug},
    )
    assert [one["text"] for one in found.json()["results"]] == [scene.bob.tenant.slug]


def test_an_administrator_of_a_tenant_is_not_asked_for_tenants(enter: Callable[..., Client], scene: Scene) -> None:
    task, _ = scene.ann.task(), scene.bob.task()
    page = enter("tenant_administrator", scene.ann.tenant).get(TASKS)
    assert ids(page) == [str(task.pk)]
    assert 'data-field-name="tenant"' not in page.content.decode()


def test_searches_of_long_lists_are_exact(operator: Client, scene: Scene) -> None:
    one, other = scene.ann.task(idempotency_key="order-1"), scene.bob.task(idempotency_key="order-10")
    for term, found in (
        (str(one.pk), {one}),
        (f" {str(one.pk).upper()} ", {one}),
        ("order-1", {one}),
        ("order", set()),
        ("poet", {one, other}),
        ("nobody", set()),
    ):
        assert set(ids(operator.get(TASKS, {"q": term}))) == {str(task.pk) for task in found}, term
    turn = one.turns.get()
    assert ids(operator.get("/console/agents/turn/", {"q": str(one.pk)})) == [str(turn.pk)]


def test_lists_ask_a_fixed_number_of_times(
    admin_client: Client, scene: Scene, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    for _ in range(3):
        scene.ann.task()
    admin_client.get(TASKS)
    with django_assert_max_num_queries(8):
        admin_client.get(TASKS)
    for _ in range(20):
        scene.bob.task()
    with django_assert_max_num_queries(8):
        admin_client.get(TASKS)
