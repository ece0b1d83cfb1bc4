"""Budgets warn once, stop over all web processes, and let on again."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents.limits import Month, refusal_of_spent
from billing.budgets import crossed, look, said_of
from billing.models import Budget, BudgetNotice, GpuHour, UsageHour
from tenants.models import ApiKey, Tenant
from tenants.scoping import tenant_scope
from tenants.services import issue_key
from tests.billing.conftest import price
from tests.faces.conftest import HandWorker, Web, await_ready, free_port
from tests.scene import Party, Scene
from webhooks.models import Delivery
from webhooks.services import create_endpoint

NOON = datetime.fromisoformat("2026-03-15T12:00:00+00:00")
APRIL = datetime.fromisoformat("2026-04-01T00:00:00+00:00")


@pytest.mark.parametrize(
    ("spent", "percent", "expected"),
    [
        ("79.999999999999", 80, ()),
        ("80", 80, ("warning",)),
        ("99.999999999999", 80, ("warning",)),
        ("100", 80, ("warning", "spent")),
        ("99.99", 100, ()),
        ("1", 1, ("warning",)),
    ],
)
def test_marks_are_reached_exactly(spent: str, percent: int, expected: tuple[str, ...]) -> None:
    assert crossed(Budget(amount=Decimal(100), warn_percent=percent), Decimal(spent)) == expected


@pytest.mark.parametrize(
    ("tenant", "key", "refused", "after_s"),
    [
        (None, None, "", 0),
        (NOON - timedelta(seconds=1), None, "", 0),  # the month is over
        (NOON, NOON, "", 0),
        (NOON + timedelta(seconds=2.1), None, "this tenant", 3),
        (None, NOON + timedelta(hours=1), "this API key", 3600),
        (NOON - timedelta(hours=1), NOON + timedelta(hours=1), "this API key", 3600),
    ],
)
def test_who_is_refused_and_until_when(
    tenant: datetime | None, key: datetime | None, refused: str, after_s: int
) -> None:
    problem = refusal_of_spent(tenant_until=tenant, key_until=key, now=NOON)
    if not refused:
        assert problem is None
        return
    assert problem is not None
    assert (problem.status, problem.code, problem.retry_after_s) == (429, "insufficient_quota", after_s)
    assert refused in problem.detail


def used(party: Party, cost: str, *, at: datetime = NOON, key: ApiKey | None = None) -> None:
    assert party.agent.current_revision is not None
    row, _ = UsageHour.objects.for_tenant(party.tenant).get_or_create(
        tenant=party.tenant, api_key=key, agent=party.agent, pool=party.agent.current_revision.pool,
        hour=at.replace(minute=0),
    )  # fmt: skip
    row.cost += Decimal(cost)
    row.save()


def budget(party: Party, amount: int, **more: Any) -> Budget:
    return Budget.objects.create(tenant=party.tenant, amount=amount, **more)


def stops() -> list[str]:
    """Who is refused, by name."""
    tenants = Tenant.objects.filter(budget_spent_until=APRIL).values_list("name", flat=True)
    keys = ApiKey.objects.across_tenants().filter(budget_spent_until=APRIL).values_list("name", flat=True)
    return sorted([*tenants, *keys])


def kinds(notices: list[BudgetNotice]) -> list[str]:
    return [notice.kind for notice in notices]


@pytest.mark.django_db
def test_a_budget_is_spent_by_tokens_and_gpus_of_the_month(scene: Scene) -> None:
    one = budget(scene.ann, 100)
    used(scene.ann, "60")
    used(scene.ann, "900", at=datetime.fromisoformat("2026-02-28T23:59:00+00:00"))
    used(scene.ann, "900", at=APRIL)
    used(scene.bob, "900")
    assert look(now=NOON) == []
    GpuHour.objects.create(
        tenant=scene.ann.tenant, pool=scene.pool, worker=one.tenant_id, hour=NOON, kind="idle", gpu_ms=5, cost=25
    )
    (said,) = look(now=NOON)
    assert (said.kind, said.spent, stops()) == ("warning", 85, [])
    used(scene.ann, "15")
    assert kinds(look(now=NOON)) == ["spent"]
    assert (look(now=NOON), stops()) == ([], ["Ann"])


@pytest.mark.django_db
def test_a_raised_budget_lets_on_and_warns_anew(scene: Scene) -> None:
    one = budget(scene.ann, 100)
    used(scene.ann, "100")
    assert kinds(look(now=NOON)) == ["warning", "spent"]
    one.amount = 120
    one.save()
    assert kinds(look(now=NOON)) == ["warning"]
    assert stops() == []
    used(scene.ann, "20")
    look(now=NOON)
    assert stops() == ["Ann"]
    look(now=APRIL)  # the month is over
    assert (stops(), BudgetNotice.objects.across_tenants().count()) == ([], 4)
    one.delete()
    look(now=NOON)
    assert stops() == []


@pytest.mark.django_db
def test_a_soft_budget_only_warns_and_a_keys_counts_its_key(scene: Scene) -> None:
    loose, tight = (issue_key(tenant=scene.ann.tenant, name=name).key for name in ("loose", "tight"))
    budget(scene.bob, 10, is_hard=False)
    used(scene.bob, "11")
    budget(scene.ann, 100)
    budget(scene.ann, 10, api_key=tight)
    used(scene.ann, "11", key=loose)
    used(scene.ann, "10", key=tight)
    assert sorted(kinds(look(now=NOON))) == ["spent", "spent", "warning", "warning"]
    assert stops() == ["tight"]
    ApiKey.objects.across_tenants().filter(pk=loose.pk).update(budget_spent_until=APRIL)
    look(now=NOON)
    assert stops() == ["tight"]


@pytest.mark.django_db
def test_a_look_that_changes_nothing_writes_nothing(scene: Scene) -> None:
    """A written tenant makes all web processes forget what they remember."""
    budget(scene.ann, 10)
    used(scene.ann, "11")
    look(now=NOON)
    with CaptureQueriesContext(connection) as seen:
        look(now=NOON)
    assert not [query["sql"] for query in seen if query["sql"].startswith("UPDATE")]


@pytest.mark.django_db
def test_what_a_notice_says(scene: Scene) -> None:
    budget(scene.ann, 10)
    used(scene.ann, "8.1234567")
    (said,) = look(now=NOON)
    assert said_of(said) == {
        "key": None, "month": "2026-03", "currency": "USD", "amount": "10.00", "spent": "8.1234567",
    }  # fmt: skip


@pytest.mark.django_db
def test_a_notice_is_announced_once_to_those_who_listen(scene: Scene) -> None:
    create_endpoint(tenant=scene.ann.tenant, url="https://hooks.example/", event_types=["budget.spent"])
    create_endpoint(tenant=scene.bob.tenant, url="https://hooks.example/")
    budget(scene.ann, 10)
    used(scene.ann, "10")
    look(now=NOON)
    look(now=NOON)
    (told,) = Delivery.objects.across_tenants()
    assert (told.tenant, told.type, told.payload["data"]["spent"]) == (scene.ann.tenant, "budget.spent", "10.00")


@pytest.mark.django_db
def test_budgets_that_make_no_sense_are_refused(scene: Scene) -> None:
    other = issue_key(tenant=scene.bob.tenant, name="bobs").key
    with pytest.raises(ValidationError, match="another tenant's"), tenant_scope(scene.ann.tenant):
        Budget(tenant=scene.ann.tenant, api_key=other, amount=5).full_clean()
    budget(scene.ann, 5)
    for again in ({"amount": 6}, {"amount": 0, "api_key": other}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Budget.objects.create(tenant=scene.ann.tenant, **again)


# -- over real processes ---------------------------------------------------------------------------
ASK = {"agent": "poet", "input": "Hello"}


@pytest.mark.timeout(170)
async def test_a_stop_holds_over_two_web_processes_until_the_budget_is_raised(
    live_scene: Scene, start: Callable[..., subprocess.Popen[bytes]], worker: HandWorker
) -> None:
    webs = []
    for server in ("daphne", "uvicorn"):
        port = free_port()
        webs.append(
            Web(f"http://127.0.0.1:{port}", start("serve", "--port", str(port), "--server", server), live_scene)
        )
    start("record")
    start("effects")
    for web in webs:
        await_ready(web.url, web.process)
    await sync_to_async(price)(live_scene.pool, NOON.replace(year=2020), output="1000000")  # a token costs 1
    await Tenant.objects.all().aupdate(max_waiting=10_000)
    one = await sync_to_async(budget)(live_scene.ann, 4)
    key = await sync_to_async(issue_key)(tenant=live_scene.ann.tenant, name="second")

    async def post(party: Party, **headers: str) -> list[httpx.Response]:
        """The same at each process."""
        answers = []
        for web in webs:
            async with web.client({**party.headers, **headers}) as client:
                answers.append(await client.post("/api/v1/tasks", json=ASK))
        return answers

    first = await post(live_scene.ann, **{"Idempotency-Key": "mine"})
    assert [answer.status_code for answer in first] == [202, 202]
    await worker.serve(1, "two")  # two tokens
    again = await post(live_scene.ann)
    assert [answer.status_code for answer in again] == [202, 202]
    stopped = Tenant.objects.filter(pk=live_scene.ann.tenant.pk, budget_spent_until__isnull=False)
    assert not await stopped.aexists()
    await worker.serve(1, "more")
    await until_async(stopped.aexists)

    async def refused() -> bool:
        return {answer.json().get("code") for answer in await post(live_scene.ann)} == {"insufficient_quota"}

    await until_async(refused)
    for answer in await post(live_scene.ann, Authorization=f"Bearer {key.secret}"):
        assert (answer.status_code, answer.json()["code"]) == (429, "insufficient_quota")
        left_s = (Month.of(timezone.now()).end - timezone.now()).total_seconds()
        assert abs(int(answer.headers["retry-after"]) - left_s) < 60
    assert {answer.status_code for answer in await post(live_scene.bob)} == {202}
    assert {answer.status_code for answer in await post(live_scene.ann, **{"Idempotency-Key": "mine"})} == {202}
    assert [notice.kind async for notice in BudgetNotice.objects.for_tenant(live_scene.ann.tenant)] != []
    one.amount = 1000
    await sync_to_async(one.save)()

    async def accepted() -> bool:
        return {answer.status_code for answer in await post(live_scene.ann)} == {202}

    await until_async(accepted)


async def until_async(check: Callable[[], Any]) -> None:
    """Wait for what another process does, with a bound."""
    deadline = asyncio.get_running_loop().time() + 60
    while not await check():
        assert asyncio.get_running_loop().time() < deadline, "it did not happen"
        await asyncio.sleep(0.1)
