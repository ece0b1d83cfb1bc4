"""Who did what: by the console, by the API, by statements that no form knows; and the log itself cannot be changed."""

from __future__ import annotations

import getpass
import json
import re
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.test import Client, RequestFactory
from django.urls import reverse

from audit import acting
from audit.models import Entry
from audit.recording import record
from console.audited import WATCHED
from console.changes import in_words, members
from orchestrator import masking
from orchestrator.models import Pool, ScalingPolicy
from tenants.models import ApiKey, Secret
from tests.scene import Scene

WATCHED_LABELS = {one.label for one in WATCHED}


@pytest.fixture
def staff(scene: Scene, admin_client: Client) -> Client:
    return admin_client


def entries(**of: Any) -> list[Entry]:
    return list(Entry.objects.filter(**of).order_by("id"))


def test_whatever_a_form_can_change_is_watched(rf: RequestFactory, admin_user: User) -> None:
    request = rf.get("/")
    request.user = admin_user
    unwatched = {"billing.TenantUsage": "tenants.Tenant"}  # another view of the same table
    for model, page in admin.site._registry.items():
        if (
            page.has_add_permission(request)
            or page.has_change_permission(request)
            or page.has_delete_permission(request)
        ):
            label = unwatched.get(model._meta.label, model._meta.label)
            assert label in WATCHED_LABELS, f"{label} has a form, and is not in console/audited.py"


def test_a_form_that_is_saved_is_an_entry_with_before_and_after(staff: Client, scene: Scene) -> None:
    Pool.objects.filter(pk=scene.pool.pk).update(is_paused=False)
    assert not entries(action="pool.change"), "nobody acted"
    staff.post(
        reverse("admin:orchestrator_pool_changelist"), {"action": "pause", "_selected_action": [str(scene.pool.pk)]},
        REMOTE_ADDR="10.1.2.3",
    )  # fmt: skip
    (entry,) = entries(action="pool.change")
    assert (entry.actor_kind, entry.actor, entry.address) == ("staff", "admin", "10.1.2.3")
    assert (entry.object_kind, entry.object_id, entry.object_name) == (
        "orchestrator.pool",
        str(scene.pool.pk),
        scene.pool.slug,
    )
    assert (entry.before, entry.after) == ({"is_paused": False}, {"is_paused": True})


@pytest.mark.parametrize(
    ("proxies", "passed", "peer", "address"),
    [
        (0, "10.9.9.9", "10.0.0.1", "10.0.0.1"),
        (1, "10.9.9.9, 192.0.2.7", "10.0.0.1", "192.0.2.7"),
        (2, "10.9.9.9, 192.0.2.7, 10.0.0.2", "10.0.0.1", "192.0.2.7"),
        (2, "192.0.2.7", "10.0.0.1", "10.0.0.1"),
        (1, "unknown", "fe80::1%eth0", "fe80::1"),
        (1, "", "", None),
    ],
)
def test_an_address_is_that_of_who_stands_before_trusted_proxies(
    rf: RequestFactory, settings: Any, proxies: int, passed: str, peer: str, address: str | None
) -> None:
    settings.OPSITE_TRUSTED_PROXIES = proxies
    assert acting.address_of(rf.post("/", headers={"x-forwarded-for": passed}, REMOTE_ADDR=peer)) == address


def test_what_comes_after_the_request_is_nobodys(staff: Client, scene: Scene) -> None:
    staff.post(
        reverse("admin:orchestrator_pool_changelist"), {"action": "pause", "_selected_action": [str(scene.pool.pk)]}
    )
    before = Entry.objects.count()
    ScalingPolicy.objects.filter(pool=scene.pool).update(max_workers=9)
    assert Entry.objects.count() == before
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting(%s, true)", [acting.SETTING])
        assert cursor.fetchone() in ((None,), ("",))


def test_an_application_is_known_by_its_key(client: Client, scene: Scene) -> None:
    made = client.post(
        "/api/v1/agents", json.dumps({"slug": "bard", "name": "Bard", "pool": scene.pool.slug}), "application/json",
        headers={"Authorization": scene.ann.headers["Authorization"]},
    )  # fmt: skip
    assert made.status_code == 201, made.content
    (entry,) = entries(action="agent.add")
    assert (entry.actor_kind, entry.tenant_id, entry.object_name) == ("key", scene.ann.tenant.pk, "bard")
    assert entry.actor.startswith("test (ops_")
    assert entries(action="agentrevision.add")


def test_no_secret_is_told(staff: Client, scene: Scene) -> None:
    tenant = str(scene.ann.tenant.pk)
    staff.post(reverse("admin:tenants_secret_add"), {"tenant": tenant, "name": "weather", "value": "hunter2-hunter2"})
    key = {"tenant": tenant, "name": "new", "scopes": "", "max_waiting": 0, "max_running": 0, "requests_per_minute": 0}
    shown = staff.post(
        reverse("admin:tenants_apikey_add"), {**key, "tokens_per_minute": 0, "tokens_per_month": 0}, follow=True
    ).content.decode()
    secret = Secret.objects.across_tenants().get(name="weather")
    issued = ApiKey.objects.across_tenants().get(name="new")
    (added,) = entries(action="secret.add")
    assert added.after is not None
    assert added.after["ciphertext"] == "(hidden)"
    (made,) = entries(action="apikey.add")
    assert made.after is not None
    assert made.after["digest"] == "(hidden)"
    log = json.dumps(list(Entry.objects.values("before", "after", "object_name", "actor")), default=str)
    (full,) = re.findall(r'value="(ops_[^"]+)"', shown)
    for hidden in ("hunter2", secret.ciphertext, issued.digest, full):
        assert hidden not in log
    staff.post(reverse("admin:tenants_secret_change", args=[secret.pk]), {"value": "another-value"})
    (changed,) = entries(action="secret.change")
    assert changed.after is not None
    assert changed.after["ciphertext"] == "(hidden)"


def test_headers_of_a_tool_are_hidden_and_its_url_is_told(scene: Scene, rf: RequestFactory, admin_user: User) -> None:
    from agents.models import Tool

    request = rf.post("/")
    acting.begin(request, Entry.ActorKind.STAFF, "admin")
    asked = {"url": "https://example.com/", "method": "GET", "headers": {"X-Key": "hunter2"}}
    Tool.objects.create(tenant=scene.ann.tenant, name="w", kind="http", request=asked)
    acting.end(request)
    (entry,) = entries(action="tool.add")
    assert entry.after is not None
    assert entry.after["request"] == {"url": "https://example.com/", "method": "GET", "headers": "(hidden)"}


def test_a_cascade_and_an_update_of_many_rows_are_seen(scene: Scene, rf: RequestFactory, admin_user: User) -> None:
    request = rf.post("/")
    acting.begin(request, Entry.ActorKind.STAFF, "admin")
    ApiKey.objects.across_tenants().update(max_running=3)
    Pool.objects.create(slug="gone", name="Gone", engine=Pool.Engine.SIMULATED).delete()
    acting.end(request)
    assert {entry.tenant_id for entry in entries(action="apikey.change")} == {scene.ann.tenant.pk, scene.bob.tenant.pk}
    assert entries(action="pool.delete")[0].before["slug"] == "gone"  # type: ignore[index]


def test_what_only_a_chore_touches_is_no_entry(scene: Scene, rf: RequestFactory) -> None:
    request = rf.post("/")
    acting.begin(request, Entry.ActorKind.API_KEY, "k")
    from django.utils import timezone

    ApiKey.objects.across_tenants().update(last_used_at=timezone.now())
    acting.end(request)
    assert not entries()


def test_entries_cannot_be_changed(db: None, rf: RequestFactory, admin_user: User) -> None:
    request = rf.post("/")
    request.user = admin_user
    entry = record(request, "pool.look")
    for attempt in (
        lambda: Entry.objects.update(actor="another"),
        lambda: Entry.objects.filter(pk=entry.pk).delete(),
        lambda: connection.cursor().execute("TRUNCATE audit_entry"),
    ):
        with pytest.raises(DatabaseError, match="added to, never changed"), transaction.atomic():
            attempt()
    assert Entry.objects.get().actor == "admin"


def test_log_ins_are_entries_and_a_name_that_no_account_has_is_not_kept(
    db: None, client: Client, admin_user: User
) -> None:
    login = reverse("admin:login")
    client.post(login, {"login": "my password by mistake", "password": "x"})
    client.post(login, {"login": "admin", "password": "wrong"})
    client.post(login, {"login": "admin", "password": "password"})
    client.post(reverse("admin:logout"))
    told = [(entry.action, entry.actor) for entry in entries()]
    assert told == [
        ("staff.login_failed", "an unknown name"), ("staff.login_failed", "admin"), ("staff.login", "admin"),
        ("staff.logout", "admin"),
    ]  # fmt: skip


def test_the_log_and_an_objects_history_are_pages(staff: Client, scene: Scene) -> None:
    staff.post(
        reverse("admin:orchestrator_pool_changelist"), {"action": "pause", "_selected_action": [str(scene.pool.pk)]}
    )
    entry = Entry.objects.get(action="pool.change")
    listed = staff.get(reverse("admin:audit_entry_changelist")).content.decode()
    assert "is_paused: false → true" in listed
    assert scene.pool.slug in listed
    shown = staff.get(reverse("admin:audit_entry_change", args=[entry.pk])).content.decode()
    assert "is_paused" in shown
    history = staff.get(reverse("admin:orchestrator_pool_history", args=[scene.pool.pk]), follow=True)
    assert history.status_code == 200
    assert "is_paused: false → true" in history.content.decode()
    other = staff.get(reverse("admin:tenants_tenant_history", args=[scene.ann.tenant.pk]), follow=True)
    assert "is_paused" not in other.content.decode()


def test_words() -> None:
    assert in_words({"a": 1, "b": "x"}, {"a": 2, "b": "y"}) == "a: 1 → 2, b: x → y"
    assert in_words(None, {"id": 3, "slug": "new", "limits": {}, "n": 0}) == "slug: new"
    assert in_words(None, None) == ""
    assert in_words({str(n): 0 for n in range(6)}, {str(n): 1 for n in range(6)}).endswith("and 2 more")
    assert members({"a": None}, {"a": [1]}) == [("a", "null", "[1]")]


def test_what_a_command_changes_is_the_shells(process_env: dict[str, str]) -> None:
    command = [sys.executable, "manage.py", "quickstart", "--tenant", "shelled"]
    subprocess.run(command, cwd=settings.BASE_DIR, env=process_env, check=True, capture_output=True, timeout=60)
    (made,) = entries(action="tenant.add")
    assert (made.actor_kind, made.object_name, made.address) == ("shell", "shelled", None)
    assert made.actor == f"{getpass.getuser()}: manage.py quickstart"
    (key,) = entries(action="apikey.add")
    assert key.after is not None
    assert key.after["digest"] == "(hidden)"
    migrated = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(migrated, cwd=settings.BASE_DIR, env=process_env, check=True, capture_output=True, timeout=60)
    assert {entry.actor_kind for entry in entries()} == {"shell"}


def test_of_engine_arguments_what_is_named_as_a_secret_is_hidden_as_everywhere(rf: RequestFactory, db: None) -> None:
    args = {
        "hf_token": "hf_abc", "API_KEY": "k", "max_num_batched_tokens": 512, "tokenizer": "slow", "auth": "", "token_ids": [1],
        "store": {"password": "p", "hosts": ["a", "b"], "keys": [{"secret_key": "s"}, "not told"]},
    }  # fmt: skip
    pool = Pool.objects.create(slug="kept", name="kept", engine="simulated", slots=1, engine_args=args)
    request = rf.post("/")
    acting.begin(request, Entry.ActorKind.STAFF, "admin")
    pool.engine_args = {**args, "hf_token": "hf_def"}
    pool.save()
    acting.end(request)
    (entry,) = entries(action="pool.change")
    told = json.loads(json.dumps(masking.arguments(args)).replace(json.dumps(masking.HIDDEN), '"(hidden)"'))
    assert entry.before == entry.after == {"engine_args": told}
    assert "hf_token" in told
