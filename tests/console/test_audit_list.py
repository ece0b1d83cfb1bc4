"""The audit log as a list: an act is one line, accounts are for operators, and a long log is not read to show a page of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from audit import acting
from audit.models import Entry
from audit.recording import record
from orchestrator.models import Pool, Rollout
from orchestrator.revisions import note_edit
from staff.lists.known import values_of
from tests.console.conftest import Enter
from tests.scene import Scene

LOG = "/console/audit/entry/"
ENTRIES = 30_000
READ_AT_MOST = 2_100
"""Rows of a log of `ENTRIES` that one statement reads: a page, a bounded count, the newest of a tenant."""


def lines(client: Client, **asked: str) -> list[str]:
    """The actions that the list shows, the newest first."""
    answer = client.get(f"{LOG}?{urlencode(asked)}")
    assert answer.status_code == 200
    return [entry.action for entry in answer.context_data["cl"].result_list]  # type: ignore[attr-defined]


# -- acts ----------------------------------------------------------------------------------------
@pytest.fixture
def paused(operator: Client, scene: Scene) -> Pool:
    url = reverse("console:pool_action", args=[scene.pool.slug, "pause"])
    assert operator.post(url).status_code == 302
    return Pool.objects.get(pk=scene.pool.pk)


def test_an_act_that_changes_a_row_is_one_line(operator: Client, paused: Pool) -> None:
    assert lines(operator, actor_kind="staff") == ["pool.pause", "staff.login"]
    assert lines(operator, object_kind="orchestrator.pool", object_id=str(paused.pk)) == ["pool.pause"]
    assert lines(operator, rows="all")[:2] == ["pool.pause", "pool.change"]
    assert lines(operator, action="pool.change") == ["pool.change"]
    act, part = Entry.objects.get(action="pool.pause"), Entry.objects.get(action="pool.change")
    assert act.act == part.act is not None
    assert (act.is_part, part.is_part) == (False, True)
    page = operator.get(reverse("admin:audit_entry_change", args=[act.pk])).content.decode()
    assert f'/console/audit/entry/{part.pk}/change/">pool.change {paused.slug}</a>: is_paused: false → true' in page
    page = operator.get(reverse("admin:audit_entry_change", args=[part.pk])).content.decode()
    assert f'It is a part of <a href="/console/audit/entry/{act.pk}/change/">pool.pause {paused.slug}</a>' in page


def test_what_has_no_name_but_its_id_is_written_by_its_end(operator: Client, scene: Scene) -> None:
    task = str(scene.ann.task().pk)
    Entry.objects.create(
        actor_kind="staff",
        actor="ann",
        action="task.cancel",
        object_kind="agents.task",
        object_id=task,
        object_name=task,
    )
    page = operator.get(LOG).content.decode()
    assert f'task <span class="id" title="{task}">…{task[-12:]}</span></a>' in page


def test_each_of_many_is_an_act_with_its_own_rows(operator: Client) -> None:
    scenes = [Scene.make(), Scene.make()]
    now = timezone.now()
    for scene in scenes:
        note_edit(scene.pool.pk, now=now)
        Rollout.objects.filter(pool=scene.pool).update(state="rolling", target=note_target(scene.pool), since=now)
    asked = {"action": "go_on", "_selected_action": [str(scene.pool.pk) for scene in scenes]}
    operator.post(reverse("admin:orchestrator_pool_changelist"), asked)
    assert lines(operator, actor_kind="staff") == ["pool.go_on", "pool.go_on", "staff.login"]
    for scene in scenes:
        act = Entry.objects.get(action="pool.go_on", object_id=str(scene.pool.pk))
        part = Entry.objects.get(act=act.act, is_part=True)
        rollout = Rollout.objects.get(pool=scene.pool)
        assert (part.object_kind, part.object_id) == ("orchestrator.rollout", str(rollout.pk))
        assert lines(operator, object_kind=part.object_kind, object_id=part.object_id) == ["rollout.change"]


def note_target(pool: Pool) -> Any:
    """A second revision of the pool."""
    first = Rollout.objects.get(pool=pool).current
    first.pk, first.number, first.digest = None, 2, f"other-{pool.slug}"
    first._state.adding = True
    first.save()
    return first


def test_what_nobody_records_is_undone(rf: RequestFactory, scene: Scene, admin_user: User) -> None:
    request = rf.post("/")
    request.user = admin_user
    acting.begin(request, Entry.ActorKind.STAFF, "admin")

    def rename(*, recorded: bool) -> None:
        with acting.one_act(request):
            Pool.objects.filter(pk=scene.pool.pk).update(name=f"Renamed {recorded}")
            if recorded:
                record(request, "pool.rename", scene.pool)

    with pytest.raises(acting.Unrecorded):
        rename(recorded=False)
    rename(recorded=True)
    Pool.objects.filter(pk=scene.pool.pk).update(name="By itself")
    acting.end(request)
    told = list(Entry.objects.order_by("id").values_list("action", "is_part"))
    assert told == [("pool.change", True), ("pool.rename", False), ("pool.change", False)]
    with acting.one_act(request):
        pass  # nothing was done, and nothing is to be told


# -- who sees what ---------------------------------------------------------------------------------
def test_accounts_and_sign_ins_are_for_operators(enter: Enter, operator: Client, scene: Scene) -> None:
    tenant = scene.ann.tenant
    said = {"username": "new", "usable_password": "false", "role": "tenant_administrator", "tenant": str(tenant.pk)}
    assert operator.post(reverse("admin:auth_user_add"), said).status_code == 302
    Entry.objects.create(actor_kind="staff", actor="amy", action="staff.login", address="10.1.2.3")
    Entry.objects.create(actor_kind="staff", actor="amy", action="agent.change", tenant_id=tenant.pk)
    assert {"user.add", "staffrole.add", "staff.login", "agent.change"} <= {*lines(operator)}
    (changed, *_) = Entry.objects.filter(action="staffrole.add")
    for who in (enter("viewer"), enter("tenant_administrator", tenant)):
        assert lines(who, rows="all") == lines(who) == ["agent.change"]
        assert lines(who, action="user.add") == lines(who, q="new") == []
        page = who.get(LOG).content.decode()
        assert ("agent.change" in page, "user.add" in page, "auth.user" in page, "10.1.2.3" in page) == (
            True,
            *[False] * 3,
        )
        assert who.get(reverse("admin:audit_entry_change", args=[changed.pk])).status_code == 404
    page = operator.get(LOG).content.decode()
    assert all(word in page for word in ("user.add", "auth.user", "10.1.2.3"))


# -- a long log ------------------------------------------------------------------------------------
@pytest.fixture
def long_log(scene: Scene) -> str:
    """Its tenant's id: half of the entries are that one's."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_entry (at, actor_kind, actor, action, object_kind, object_id, object_name, tenant_id) "
            "SELECT now() - n * interval '1 minute', CASE WHEN n %% 1000 = 0 THEN 'nobody' ELSE 'staff' END, "
            "'member-' || n / 2 %% 50, 'model' || n %% 40 || '.change', 'app.model' || n %% 40, md5(n::text), 'object-' || n, "
            "CASE WHEN n %% 2 = 0 THEN %s::uuid END FROM generate_series(1, %s) AS n",
            [str(scene.ann.tenant.pk), ENTRIES],
        )
        cursor.execute("ANALYZE audit_entry")
    return str(scene.ann.tenant.pk)


def read_by(client: Client, url: str) -> list[tuple[int, str]]:
    """For each statement of a page on the log, how many of its rows were read."""
    seen: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        seen.append((sql, parameters))
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(note):
        answer = client.get(url)
    assert answer.status_code == 200, url
    found = []
    with connection.cursor() as cursor:
        for sql, parameters in seen:
            if "audit_entry" in sql and not sql.startswith(("EXPLAIN", "INSERT")):
                cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", parameters)
                (plan,) = cursor.fetchone()
                plan = json.loads(plan) if isinstance(plan, str) else plan
                found.append((sum(rows_of(plan[0]["Plan"])), sql))
    return found


def rows_of(plan: dict[str, Any]) -> Iterator[int]:
    if plan.get("Relation Name") == "audit_entry" and plan["Actual Loops"]:
        given = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
        yield int(given * plan["Actual Loops"])
    for inner in plan.get("Plans", []):
        yield from rows_of(inner)


ASKED: list[dict[str, str]] = [
    {}, {"actor_kind__exact": "nobody"}, {"action": "model3.change"}, {"object_kind": "app.model7"}, {"rows": "all"},
    {"at__until": "2001-01-01T00:00"}, {"at__within": "24h"}, {"actor": "member-7"}, {"q": "member-7"},
    {"q": "model9.change"}, {"q": "object-29000"}, {"q": "no such word"},
    {"object_kind": "app.model0", "object_id": "c4ca4238a0b923820dcc509a6f75849b"},
]  # fmt: skip


@pytest.mark.parametrize("role", ["operator", "viewer", "tenant_administrator"])
def test_no_page_reads_the_whole_log(enter: Enter, scene: Scene, long_log: str, role: str) -> None:
    client = enter(role, scene.ann.tenant) if role == "tenant_administrator" else enter(role)
    for asked in ASKED:
        found = read_by(client, f"{LOG}?{urlencode(asked)}")
        assert found
        assert not [one for one in found if one[0] > READ_AT_MOST], asked


def test_the_values_that_a_filter_offers_are_all_and_cost_a_look_each(operator: Client, long_log: str) -> None:
    assert values_of(Entry, "action") == sorted(
        {f"model{n}.change" for n in range(40)} | {"staff.login"} & {*actions()}
    )
    (reading,) = [rows for rows, sql in read_by(operator, LOG) if "RECURSIVE" in sql and '"action"' in sql]
    assert reading <= 3 * 42
    page = operator.get(LOG).content.decode()
    assert all(f'value="model{n}.change"' in page for n in range(40))


def actions() -> set[str]:
    return {*Entry.objects.order_by().values_list("action", flat=True).distinct()}
