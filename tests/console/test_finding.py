"""What the navigation shows to whom, and what the search finds for whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.utils import timezone

from console.navigation import GROUPS, navigation
from console.search import KINDS, found
from orchestrator.models import Worker
from orchestrator.revisions import note_edit
from tests.scene import Scene

Enter = Callable[..., Client]


def asks(rf: RequestFactory, client: Client, path: str = "/console/") -> HttpRequest:
    request = rf.get(path)
    request.user = client.user  # type: ignore[attr-defined]
    return request


def titles(results: list[Any]) -> list[str]:
    return [result.title for result in results]


def test_every_list_that_is_named_is_one_or_is_left_out(rf: RequestFactory, operator: Client) -> None:
    shown = {item["title"] for group in navigation(asks(rf, operator)) for item in group["items"]}
    named = {entry.title for _, entries in GROUPS for entry in entries}
    assert named - shown <= {"Audit log"}, "its pages come with the audit log"
    assert "Overview" in shown


def test_the_present_page_is_marked_and_its_group_open(rf: RequestFactory, operator: Client) -> None:
    for path, title, group in (
        ("/console/", "Overview", "Operate"),
        ("/console/agents/agentrevision/", "Revisions", "Agents"),
        ("/console/pools/demo/", "Pools", "Operate"),
        ("/console/orchestrator/pool/1/change/", "Pools", "Operate"),
        ("/console/tenants/apikey/", "API keys", "Tenants"),
        ("/console/tenants/demo/", "Tenants", "Tenants"),
    ):
        groups = navigation(asks(rf, operator, path))
        assert [item["title"] for one in groups for item in one["items"] if item["active"]] == [title]
        assert group in [one["title"] for one in groups if one["is_open"]]
        assert [one["here"]["title"] for one in groups if one["here"]] == [title]
    page = operator.get("/console/agents/task/").content.decode()
    assert page.count('aria-current="page"') >= 1
    assert 'href="#content"' in page


def test_an_administrator_of_a_tenant_sees_what_tenants_have(rf: RequestFactory, enter: Enter, scene: Scene) -> None:
    groups = navigation(asks(rf, enter("tenant_administrator", scene.ann.tenant)))
    shown = {item["title"] for group in groups for item in group["items"]}
    assert {"Tasks", "Agents", "API keys", "Usage by hour"} <= shown
    assert not shown & {"Overview", "Workers", "Pools", "Decisions", "Policies", "GPU bill", "Staff", "Roll-outs"}


def test_who_has_no_role_sees_nothing(rf: RequestFactory, operator: Client) -> None:
    request = asks(rf, operator)
    request.user.staff_role.delete()  # type: ignore[union-attr]
    request.user = type(request.user).objects.get(pk=request.user.pk)
    assert navigation(request) == []
    assert found(request, "a") == []


def test_ids_find_their_objects_in_any_form(rf: RequestFactory, operator: Client, scene: Scene) -> None:
    task = scene.ann.task()
    worker = Worker.objects.create(
        pool=scene.pool,
        revision=note_edit(scene.pool.pk, now=timezone.now()).current,
        runtime="process",
        slots=1,
        started_at=timezone.now(),
    )
    request = asks(rf, operator)
    for term in (str(task.pk), task.pk.hex, f"resp_{task.pk.hex}", f" chatcmpl-{task.pk} "):
        (result,) = found(request, term)
        assert (result.title, result.description) == (str(task.pk), f"Task of {scene.ann.tenant}")
        assert str(task.pk) in result.link
    (result,) = found(request, str(worker.pk))
    assert result.description == "Worker"
    assert str(worker.pk) in result.link


def test_names_find_what_has_them(rf: RequestFactory, operator: Client, scene: Scene) -> None:
    request = asks(rf, operator)
    assert titles(found(request, scene.pool.slug)) == [scene.pool.slug]
    assert titles(found(request, scene.ann.tenant.slug.upper())) == [scene.ann.tenant.slug]
    assert titles(found(request, "poet")).count("poet") == 2
    assert found(request, "") == found(request, "  ") == []


def test_pages_are_found_by_what_the_menu_calls_them(
    rf: RequestFactory, operator: Client, enter: Enter, scene: Scene
) -> None:
    for term, title in (
        ("webh", "Webhooks"),
        ("Audit l", "Audit log"),
        ("gpu bi", "GPU bill"),
        ("playg", "Playground"),
    ):
        assert title in titles(found(asks(rf, operator), term))
    assert "GPU bill" not in titles(found(asks(rf, enter("tenant_administrator", scene.ann.tenant)), "gpu bi"))


def test_another_tenants_objects_are_not_found(rf: RequestFactory, enter: Enter, scene: Scene) -> None:
    request = asks(rf, enter("tenant_administrator", scene.ann.tenant))
    task = scene.bob.task()
    assert found(request, str(task.pk)) == []
    assert found(request, scene.bob.tenant.slug) == []
    assert found(request, scene.pool.slug) == []
    assert [result.description for result in found(request, "poet")] == [f"Agent of {scene.ann.tenant}"]


def test_a_search_is_bounded(
    rf: RequestFactory, scene: Scene, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    request = rf.get("/console/")
    request.user = User.objects.create_user("finder", is_staff=True, is_superuser=True)
    task = scene.ann.task()
    with django_assert_max_num_queries(len(KINDS)):
        found(request, str(task.pk))
    with django_assert_max_num_queries(2 * len(KINDS)):
        assert len(found(request, "e")) <= 5 * 6


@pytest.mark.parametrize("path", ["/console/search/?extended=1&s=poet", "/console/search/?s=tasks&extended=1"])
def test_the_palette_answers(operator: Client, scene: Scene, path: str) -> None:
    page = operator.get(path).content.decode()
    assert "command-results-list" in page


# -- the page of the search --------------------------------------------------------------------------
def test_what_is_found_follows_the_role_of_the_moment(enter: Enter, scene: Scene) -> None:
    client = enter("operator")
    asked = f"/console/search/?s={scene.bob.tenant.slug}&extended=1"
    answer = client.get(asked)
    assert scene.bob.tenant.slug in answer.content.decode()
    assert "no-store" in answer.headers["Cache-Control"]
    role = client.user.staff_role  # type: ignore[attr-defined]
    role.role, role.tenant = "tenant_administrator", scene.ann.tenant
    role.save()
    assert scene.bob.tenant.slug not in client.get(asked).content.decode().replace(asked, "")
    role.delete()
    assert client.get(asked).status_code == 403


def test_its_pages_are_numbered_from_one_whatever_is_asked_for(operator: Client) -> None:
    for page in ("1", "0", "-1", "x", "99999999999999999999"):
        answer = operator.get("/console/search/", {"s": "a", "extended": "1", "page": page})
        assert (answer.status_code, "Tasks" in answer.content.decode()) == (200, True), page
    assert operator.get("/console/search/", {"s": " "}).content == b""
    menu = operator.get("/console/search/", {"s": "agents"}).content.decode()
    assert "/console/agents/agent/" in menu
