"""Saved filters and exports: what is kept, who sees it, what a file holds, and what the audit log says."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.db import connection
from django.test import AsyncClient, Client

from agents.models import Turn
from audit.models import Entry
from staff.list_models import SavedFilter
from staff.lists import export
from tests.scene import Scene

TURNS = "/console/agents/turn/"
SAVED = f"{TURNS}saved-filters/"
Enter = Callable[..., Client]


def save(client: Client, name: str, query: str = "state__exact=failed&o=-2", **more: str) -> Any:
    return client.post(SAVED, {"name": name, "query": query, **more})


def names(client: Client, path: str = TURNS) -> list[str]:
    return [one.name for one, _, _ in client.get(path).context["saved_filters"]]


def test_a_filter_is_kept_without_its_page(operator: Client, scene: Scene) -> None:
    answer = save(operator, "  failed   ones ", "state__exact=failed&after=abc&p=3&q=x")
    assert answer.headers["Location"] == f"{TURNS}?state__exact=failed&q=x"
    assert names(operator) == ["failed ones"]
    assert names(operator, "/console/agents/task/") == []
    page = operator.get(f"{TURNS}?state__exact=failed&q=x")
    assert page.context["saved_filters"][0][1], "it is marked as the present one"
    save(operator, "failed ones", "state__exact=expired")
    assert [one.query for one in SavedFilter.objects.all()] == ["state__exact=expired"]


@pytest.mark.parametrize(
    ("name", "query"), [("", "q=x"), ("   ", "q=x"), ("n" * 61, "q=x"), ("long", "q=" + "x" * 2000)]
)
def test_what_cannot_be_kept_is_said(operator: Client, scene: Scene, name: str, query: str) -> None:
    answer = save(operator, name, query)
    assert answer.status_code == 302
    assert not SavedFilter.objects.exists()
    (message,) = get_messages(answer.wsgi_request)
    assert ("Name:" in str(message)) or ("leave something out" in str(message))


def test_who_sees_what_is_shared(enter: Enter, scene: Scene) -> None:
    operator, viewer = enter("operator"), enter("viewer")
    ann, bob = (enter("tenant_administrator", party.tenant) for party in (scene.ann, scene.bob))
    save(operator, "operator's own")
    save(operator, "operator's", is_shared="on")
    save(ann, "ann's", is_shared="on")
    assert names(operator) == ["ann's", "operator's", "operator's own"]
    assert names(viewer) == ["ann's", "operator's"]
    assert names(ann) == ["ann's"]
    assert names(bob) == [], "a name may tell of another tenant"


def test_only_ones_own_is_deleted(enter: Enter, scene: Scene) -> None:
    operator, viewer = enter("operator"), enter("viewer")
    save(operator, "shared", is_shared="on")
    saved = SavedFilter.objects.get()
    assert viewer.post(f"{SAVED}{saved.pk}/delete/").status_code == 404
    assert operator.post(f"/console/agents/task/saved-filters/{saved.pk}/delete/").status_code == 404
    assert operator.get(f"{SAVED}{saved.pk}/delete/").status_code == 405
    assert operator.post(f"{SAVED}{saved.pk}/delete/", {"query": "q=x"}).headers["Location"] == f"{TURNS}?q=x"
    assert not SavedFilter.objects.exists()


def test_who_may_not_look_keeps_nothing(enter: Enter) -> None:
    client = enter(None)
    assert save(client, "mine").status_code == 403
    assert client.post(f"{TURNS}export/", {"format": "csv"}).status_code == 403
    assert Client().post(SAVED, {"name": "x"}).status_code == 302


def file(client: Client, query: str = "", kind: str = "csv") -> str:
    response = client.post(f"{TURNS}export/?{query}", {"format": kind})
    assert response.status_code == 200
    assert "attachment" in response.headers["Content-Disposition"]
    return b"".join(response.streaming_content).decode()  # type: ignore[arg-type]


def test_a_file_holds_the_list_as_it_is_filtered(operator: Client, scene: Scene) -> None:
    ann, bob = scene.ann.task(), scene.bob.task()
    Turn.objects.for_tenant(bob.tenant).update(worker='=HYPERLINK("http://x")')
    rows = list(csv.DictReader(io.StringIO(file(operator))))
    assert [row["task"] for row in rows] == [str(bob.pk), str(ann.pk)]
    assert rows[0]["tenant"] == scene.bob.tenant.slug
    assert rows[0]["worker"] == '\'=HYPERLINK("http://x")', "a spreadsheet would run it"
    assert rows[1]["queued_at"] == ann.turns.get().queued_at.isoformat()
    lines = [json.loads(line) for line in file(operator, f"tenant__id__exact={ann.tenant_id}", "jsonl").splitlines()]
    assert [line["task"] for line in lines] == [str(ann.pk)]
    assert lines[0]["attempts"] == 0
    assert lines[0]["finished_at"] is None


def test_an_administrator_of_a_tenant_exports_its_rows(enter: Enter, scene: Scene) -> None:
    ann, _ = scene.ann.task(), scene.bob.task()
    text = file(enter("tenant_administrator", scene.ann.tenant), f"tenant__id__exact={scene.ann.tenant.pk}", "jsonl")
    assert [json.loads(line)["task"] for line in text.splitlines()] == [str(ann.pk)]


def test_exports_are_in_the_audit_log(operator: Client, scene: Scene) -> None:
    scene.ann.task()
    file(operator, "state__exact=queued&after=abc")
    entry = Entry.objects.get(action="turn.export")
    assert entry.actor == operator.user.username  # type: ignore[attr-defined]
    assert entry.after is not None
    assert (entry.after["filter"], entry.after["format"], entry.after["rows"]) == ("state__exact=queued", "csv", 1)
    assert entry.tenant_id is None


def test_an_export_of_one_tenant_s_rows_is_in_that_one_s_log(operator: Client, enter: Enter, scene: Scene) -> None:
    ann, bob = scene.ann.tenant, scene.bob.tenant
    file(operator, f"tenant__id__exact={ann.pk}")
    file(enter("tenant_administrator", bob), "")
    file(operator, f"tenant__id__exact={ann.pk}&tenant__id__exact={bob.pk}")
    assert list(Entry.objects.filter(action="turn.export").order_by("id").values_list("tenant_id", flat=True)) == [
        ann.pk, bob.pk, None,
    ]  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_nothing_is_held_in_postgres_while_the_client_reads(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene.make()
    monkeypatch.setattr(export, "CHUNK_ROWS", 2)
    tasks = [scene.ann.task() for _ in range(7)][::-1]
    response = operator.post(f"{TURNS}export/", {"format": "jsonl"})
    pieces = iter(response.streaming_content)  # type: ignore[call-overload]
    read = [next(pieces)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_cursors WHERE name NOT LIKE '%%<unnamed>%%' AND name <> ''")
        assert cursor.fetchone() == (0,)
    assert not connection.in_atomic_block
    scene.ann.task()  # it comes before those that were read
    Turn.objects.for_tenant(scene.ann.tenant).filter(task=tasks[3]).delete()
    read += pieces
    found = [json.loads(line)["task"] for line in b"".join(read).splitlines()]
    assert found == [str(task.pk) for task in tasks if task is not tasks[3]]


def test_a_file_is_bounded(operator: Client, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "ROWS_AT_MOST", 3)
    monkeypatch.setattr(export, "CHUNK_ROWS", 2)
    tasks = [str(scene.ann.task().pk) for _ in range(5)][::-1]
    assert [json.loads(line)["task"] for line in file(operator, kind="jsonl").splitlines()] == tasks[:3]


def test_a_format_that_there_is_not_is_said(operator: Client, scene: Scene) -> None:
    answer = operator.post(f"{TURNS}export/", {"format": "xlsx"})
    assert [str(one) for one in get_messages(answer.wsgi_request)] == ["Format: choose one of csv, jsonl."]
    assert not Entry.objects.filter(action="turn.export").exists()


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_text_that_a_spreadsheet_would_run_is_made_harmless(cell: str) -> None:
    assert export.harmless(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["x=1", "", -1, 2.5, None, True])
def test_other_cells_stay(cell: Any) -> None:
    assert export.harmless(cell) == cell


def test_keys_and_secrets_are_not_in_a_file(operator: Client, scene: Scene) -> None:
    response = operator.post("/console/tenants/apikey/export/", {"format": "jsonl"})
    lines = [json.loads(line) for line in b"".join(response.streaming_content).decode().splitlines()]  # type: ignore[arg-type]
    assert len(lines) == 2
    assert not any("digest" in line for line in lines)


@pytest.mark.django_db(transaction=True)
async def test_a_file_is_streamed_under_asgi() -> None:
    from asgiref.sync import sync_to_async

    scene = await sync_to_async(Scene.make)()
    tasks = [str((await sync_to_async(scene.ann.task)()).pk) for _ in range(5)][::-1]
    user = await sync_to_async(User.objects.create_user)("streamer", is_staff=True, is_superuser=True)
    client = AsyncClient()
    await sync_to_async(client.force_login)(user)
    response = await client.post(f"{TURNS}export/", {"format": "jsonl"})
    assert response.is_async  # type: ignore[attr-defined]
    pieces = [piece async for piece in response.streaming_content]  # type: ignore[union-attr]
    assert [json.loads(line)["task"] for line in b"".join(pieces).splitlines()] == tasks
