"""A tenant's page: who sees it, what it says of limits and cost, keys that are shown once, and what a suspension does."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from redis import Redis

from agents.models import Task
from agents.services import create_agent
from audit.models import Entry
from billing.models import Budget, UsageHour
from console.frame import NotFound
from console.tenants import limits, state
from console.tenants.share import share_of
from console.tenants.usage import OTHERS, SHOWN, Window, series
from console.topics import TOPICS
from staff.access import Access
from staff.models import StaffRole
from taskqueue import keys as queue_keys
from taskqueue.buckets import Meter
from taskqueue.messages import Submission, TurnBody
from taskqueue.sync_client import Queue
from taskqueue.use import read_use
from tenants.models import ApiKey, Tenant
from tenants.selectors import valid_key
from tenants.services import create_tenant, issue_key
from tests.scene import Party, Scene
from tests.staff.members import at_the_console

Role = StaffRole.Role
ACTIONS = ("tenant.suspend", "tenant.reactivate", "key.create", "key.revoke")
NOW = datetime(2026, 3, 10, 12, 30, tzinfo=UTC)


def page_of(client: Client, tenant: Tenant, name: str = "tenant", *args: Any) -> Any:
    return client.get(reverse(f"console:{name}", args=[tenant.console_name, *args]))


def used(party: Party, *, hour: datetime, agent: Any = None, **counts: Any) -> UsageHour:
    return UsageHour.objects.create(
        tenant=party.tenant, agent=agent or party.agent, pool=party.agent.current_revision.pool, hour=hour, **counts
    )


def bars(snapshot: dict[str, Any], owner: int = 0) -> dict[str, str]:
    return {bar["name"]: bar["text"] for bar in snapshot["owners"][owner]["bars"]}


@pytest.mark.django_db
def test_who_sees_which_tenant(scene: Scene) -> None:
    ann, bob = scene.ann.tenant, scene.bob.tenant
    administrator = at_the_console(Role.TENANT_ADMINISTRATOR, ann)
    key = ApiKey.objects.for_tenant(bob).get()
    own_key = ApiKey.objects.for_tenant(ann).get()
    assert Client().get(reverse("console:tenant", args=[ann.slug])).status_code == 302
    assert administrator.get(reverse("console:home")).url == reverse("console:tenant", args=[ann.slug])
    pages = ("tenant", "tenant_usage", "tenant_key_new", "tenant_suspend", "tenant_reactivate")
    assert Client().get(reverse("console:home")).url.startswith(reverse("admin:login"))
    assert at_the_console(Role.VIEWER).get(reverse("console:home")).status_code == 200
    for role, expected in (
        (at_the_console(Role.OPERATOR), [200, 200, 200, 200, 200]),
        (at_the_console(Role.VIEWER), [200, 200, 403, 403, 403]),
        (administrator, [404] * 5),
    ):
        assert [page_of(role, bob, name).status_code for name in pages] == expected
        assert page_of(role, bob, "tenant_key_revoke", key.pk).status_code == expected[2]
    assert [page_of(administrator, ann, name).status_code for name in pages] == [200, 200, 200, 403, 403]
    assert page_of(administrator, ann, "tenant_key_revoke", own_key.pk).status_code == 200
    assert page_of(administrator, ann, "tenant_key_revoke", key.pk).status_code == 404
    text = page_of(administrator, ann).content.decode()
    assert ("Make a key" in text, "Suspend…" in text, "Change limits" in text) == (True, False, False)
    text = page_of(at_the_console(Role.VIEWER), ann).content.decode()
    assert ("Make a key" in text, "Revoke" in text, "Suspend…" in text) == (False, False, False)


@pytest.mark.django_db
def test_actions_of_others_are_refused(scene: Scene) -> None:
    ann, bob = scene.ann.tenant, scene.bob.tenant
    key = ApiKey.objects.for_tenant(bob).get()
    for client, expected in (
        (at_the_console(Role.VIEWER), 403),
        (at_the_console(Role.TENANT_ADMINISTRATOR, ann), 404),
    ):
        for name, *args in (("suspend",), ("reactivate",), ("key_new",), ("key_revoke", key.pk)):
            address = reverse(f"console:tenant_{name}", args=[bob.slug, *args])
            assert client.post(address, {"name": "x"}).status_code == expected
    bob.refresh_from_db()
    key.refresh_from_db()
    assert (bob.is_active, key.revoked_at, ApiKey.objects.for_tenant(bob).count()) == (True, None, 1)
    assert not Entry.objects.filter(action__in=ACTIONS).exists()
    for access, seen in ((Access(Role.VIEWER), True), (Access(Role.TENANT_ADMINISTRATOR, ann.pk), False)):
        if seen:
            assert TOPICS["tenant"].read(access, bob.slug)["active"]
        else:
            with pytest.raises(NotFound):
                TOPICS["tenant"].read(access, bob.slug)


@pytest.mark.django_db
def test_a_tenant_called_as_a_list_of_the_admin_has_its_page_by_its_id(admin_client: Client) -> None:
    tenant = create_tenant(slug="secret", name="Sly")
    assert "Sly" in admin_client.get(reverse("console:tenant", args=[tenant.console_name])).content.decode()
    assert admin_client.get("/console/tenants/secret/").resolver_match.view_name == "admin:tenants_secret_changelist"
    assert admin_client.get("/console/tenants/").url == reverse("admin:tenants_tenant_changelist")
    assert reverse("console:tenant", args=[tenant.pk]) in admin_client.get("/console/tenants/tenant/").content.decode()


@pytest.mark.django_db
def test_a_key_is_shown_once_and_nowhere_else(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    tenant = scene.ann.tenant
    administrator = at_the_console(Role.TENANT_ADMINISTRATOR, tenant)
    address = reverse("console:tenant_key_new", args=[tenant.slug])
    form = administrator.get(address).context["form"]
    asked = {"key_id": str(form["key_id"].value()), "name": "billing", "lifetime": "30", "scopes": ["usage:read"]}
    answer = administrator.post(address, asked)
    (secret,) = set(re.findall(r"ops_[\w-]{20,}", answer.content.decode()))
    assert (answer.status_code, "no-store" in answer["Cache-Control"]) == (200, True)
    key = valid_key(secret)
    assert key is not None
    assert (key.name, key.scopes, key.tenant_id, key.expires_at is not None) == (
        "billing",
        ["usage:read"],
        tenant.pk,
        True,
    )
    again = administrator.post(address, asked, follow=True)  # the page was reloaded
    assert "made already" in again.content.decode()
    assert ApiKey.objects.for_tenant(tenant).filter(name="billing").count() == 1
    (entry,) = Entry.objects.filter(action="key.create")
    assert (entry.tenant_id, entry.after["prefix"]) == (tenant.pk, key.prefix)
    kept = [str(row) for row in (*Entry.objects.values_list(), *ApiKey.objects.for_tenant(tenant).values_list())]
    shown = [page_of(administrator, tenant).content.decode(), again.content.decode(), caplog.text]
    assert not any(secret in text for text in (*kept, *shown))
    wrong = administrator.post(address, {**asked, "name": "", "scopes": ["everything"]})
    assert (
        "This field is required" in wrong.content.decode(),
        "not one of the available" in wrong.content.decode(),
    ) == (True, True)


@pytest.mark.django_db
def test_a_key_is_revoked_after_a_word_on_it(scene: Scene) -> None:
    tenant, operator = scene.ann.tenant, at_the_console(Role.OPERATOR)
    key = ApiKey.objects.for_tenant(tenant).get()
    address = reverse("console:tenant_key_revoke", args=[tenant.slug, key.pk])
    assert "for ever" in operator.get(address).content.decode()
    assert valid_key(scene.ann.key) is not None
    for _ in range(2):
        assert "is refused from now on" in operator.post(address, follow=True).content.decode()
    assert valid_key(scene.ann.key) is None
    (entry,) = Entry.objects.filter(action="key.revoke")
    assert (entry.object_id, entry.before, entry.after["prefix"]) == (str(key.pk), {"revoked_at": None}, key.prefix)


@pytest.mark.django_db
def test_a_suspended_tenant_keeps_what_runs_unless_it_is_cancelled(scene: Scene, redis_url: str) -> None:
    tenant, operator = scene.ann.tenant, at_the_console(Role.OPERATOR)
    tasks = [scene.ann.task() for _ in range(3)]
    other = scene.bob.task()
    queue = Queue(redis_url, scene.pool.slug)
    queue.enqueue([_turn(task) for task in (*tasks, other)])
    address = reverse("console:tenant_suspend", args=[tenant.slug])
    text = operator.get(address).content.decode()
    assert ("Its 1 valid API key is refused" in text, "(0 running, 3 waiting)" in text) == (True, True)
    assert "is suspended" in operator.post(address, follow=True).content.decode()
    assert valid_key(scene.ann.key) is None
    assert queue.signals().waiting == 4
    answer = operator.post(address, {"cancel": "on"}, follow=True)
    assert "3 tasks were waiting or running and are ending" in answer.content.decode()
    assert [queue.read_log(str(task.pk))[-1].kind for task in (*tasks, other)] == ["outcome"] * 3 + ["state"]
    assert "This tenant is suspended" in page_of(operator, tenant).content.decode()
    back = operator.post(reverse("console:tenant_reactivate", args=[tenant.slug]), follow=True)
    assert "is active" in back.content.decode()
    assert valid_key(scene.ann.key) is not None
    assert list(Entry.objects.filter(action__in=ACTIONS).order_by("id").values_list("action", flat=True)) == [
        "tenant.suspend",
        "tenant.reactivate",
    ]
    queue.close()


def _turn(task: Task) -> Submission:
    return Submission(
        turn=str(task.turns.get().pk), task=str(task.pk), tenant=str(task.tenant_id), weight=1.0, estimated_tokens=10,
        body=TurnBody(prompt="x"),
    )  # fmt: skip


@pytest.mark.django_db
def test_bars_say_what_is_used_of_each_limit(scene: Scene, redis: Redis, redis_url: str) -> None:
    tenant, other = scene.ann.tenant, scene.bob.tenant
    Tenant.objects.filter(pk=tenant.pk).update(
        requests_per_minute=60, tokens_per_month=10_000, max_running=4, weight=3.0
    )
    tenant.refresh_from_db()
    issued = issue_key(tenant=tenant, name="narrow", requests_per_minute=6, max_running=1)
    key = issued.key
    Budget.objects.create(tenant=tenant, amount=Decimal(50), is_hard=True)
    now = timezone.now()
    used(
        scene.ann,
        hour=now.replace(minute=0, second=0, microsecond=0),
        prompt_tokens=900,
        completion_tokens=100,
        cost=20,
    )
    queue = Queue(redis_url, scene.pool.slug)
    queue.enqueue([_turn(scene.ann.task()) for _ in range(3)])
    queue.claim("w", 2, lease_s=60)
    queue.enqueue([_turn(scene.bob.task())])
    stored = f"{34 * 60_000} {time.time_ns() // 1_000_000 + 600_000}"  # a clock ahead: nothing leaks while we look
    redis.set(f"{queue_keys.budget(str(tenant.pk))}requests", stored)
    snapshot = state.snapshot(tenant, now=now)
    pool = scene.pool.slug
    assert bars(snapshot) == {
        f"waiting in {pool}": "1 of 1,000 waiting",
        f"running in {pool}": "2 of 4 running",
        "requests per minute": "34 of 60 per minute",
        "tokens per minute": "no limit",
        "tokens per month": "1,000 of 10,000 tokens this month",
        "money per month": "20.00 of 50.00 USD this month; then new tasks are refused",
    }
    assert snapshot["owners"][1]["name"] == str(key)
    assert bars(snapshot, 1) == {f"running in {pool}": "0 of 1 running", "requests per minute": "0 of 6 per minute"}
    (share,) = snapshot["shares"]
    assert "With 1 other tenant waiting its weight gives it 75%" in share["text"]
    assert "2 of the 2 that run are its own (100%)" in share["text"]
    redis.set(f"{queue_keys.budget(str(tenant.pk))}month-{now:%Y-%m}", 4321)
    assert bars(state.snapshot(tenant, now=now))["tokens per month"] == "4,321 of 10,000 tokens this month"
    (theirs,) = state.snapshot(other, now=now)["shares"]
    assert "its weight gives it 25%" in theirs["text"]
    assert "0 of the 2 that run are its own (0%)" in theirs["text"]
    queue.close()


def test_bars_and_shares_as_values() -> None:
    full, nearly, none = (
        limits.Bar("x", used, limit, "").plain() for used, limit in ((12.0, 10.0), (8.0, 10.0), (3.0, 0.0))
    )
    assert [(one["level"], one["part"]) for one in (full, nearly, none)] == [
        ("full", 1.0),
        ("nearly", 0.8),
        ("none", None),
    ]
    for weights, waits, others, said in (
        ({"a": 1.0}, False, 0, "Nobody waits"),
        ({"a": 1.0}, True, 0, "No other tenant waits"),
        ({"a": 1.0, "b": 2.0, "c": 1.0}, False, 2, "2 other tenants waiting its weight gives it 25%"),
    ):
        share = share_of("a", pool="p", weights=weights, waits=waits, running=0, running_all=0)
        assert said in share.words(others=others)
        assert share.words(others=others).endswith("Nothing runs.")


def test_a_month_that_redis_has_not_counted_is_not_zero(redis: Redis) -> None:
    meters = [Meter("month", "month-2026-03", 10, 0), Meter("minute", "requests", 5, 0)]
    use = read_use(redis, tenant="nobody", owners=["nobody"], pools=[], meters=meters)
    assert use.spent == {"month-2026-03": None, "requests": 0}


@pytest.mark.django_db
def test_a_redis_that_is_away_is_said(scene: Scene, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    answer = page_of(at_the_console(Role.OPERATOR), scene.ann.tenant)
    assert (answer.status_code, "current use is unknown" in answer.content.decode()) == (200, True)


@pytest.mark.django_db
def test_usage_has_a_line_for_each_of_the_largest_and_one_for_the_others(scene: Scene) -> None:
    tenant = scene.ann.tenant
    for number in range(SHOWN + 2):
        agent = create_agent(tenant=tenant, slug=f"a{number}", name="A", pool=scene.pool)
        counts = {"requests": 2, "succeeded": 1, "failed": 1, "prompt_tokens": 10, "completion_tokens": 5}
        used(scene.ann, agent=agent, hour=NOW.replace(minute=0), cost=Decimal(number), **counts)
        used(scene.ann, agent=agent, hour=NOW.replace(minute=0) - timedelta(days=2), prompt_tokens=7)
    used(scene.bob, hour=NOW.replace(minute=0), prompt_tokens=1_000_000)
    day = series(tenant, span="day", by="agent", now=NOW)
    assert [group["name"] for group in day["groups"]] == ["a6", "a5", "a4", "a3", "a2", OTHERS]
    assert [group["lines"]["cost"][-1] for group in day["groups"]] == [6, 5, 4, 3, 2, 1]
    assert len(day["starts"]) == 24
    assert day["totals"] == {"requests": 14, "failed": 7, "prompt_tokens": 70, "completion_tokens": 35, "cost": "21.00"}
    week = series(tenant, span="week", by="pool", now=NOW)
    assert ([group["name"] for group in week["groups"]], len(week["starts"])) == ([scene.pool.slug], 168)
    assert week["totals"]["prompt_tokens"] == 7 * 17
    month = series(tenant, span="month", by="pool", now=NOW)
    assert [day for day, tokens in enumerate(month["groups"][0]["lines"]["prompt_tokens"]) if tokens] == [27, 29]
    assert Window.of("month", now=NOW).begin == datetime(2026, 2, 9, tzinfo=UTC)
    answer = at_the_console(Role.OPERATOR).get(reverse("console:tenant_usage", args=[tenant.slug]), {"span": "year"})
    assert (answer.status_code, answer.json()["detail"]) == (400, "span: choose one of day, week, month")


@pytest.mark.django_db
def test_few_queries_however_much_there_is(scene: Scene, django_assert_max_num_queries: Callable[..., Any]) -> None:
    tenant, operator = scene.ann.tenant, at_the_console(Role.OPERATOR)
    for number in range(30):
        issue_key(tenant=tenant, name=f"key {number}", requests_per_minute=5)
        create_agent(tenant=tenant, slug=f"agent-{number}", name="A", pool=scene.pool)
        scene.ann.task(state="failed", finished_at=timezone.now(), error={"code": "x", "message": "It broke."})
    with django_assert_max_num_queries(20):
        text = page_of(operator, tenant).content.decode()
    assert text.count("It broke.") == 8
    assert "There are more" in text
    with django_assert_max_num_queries(9):
        state.read(Access(Role.OPERATOR), tenant.slug)
