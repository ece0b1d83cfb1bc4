"""A tenant's page with telling figures, and a tenant that is suspended with what it runs."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

from django.utils import timezone
from playwright.sync_api import expect

from agents.models import Task
from agents.services import create_agent
from billing.budgets import look
from billing.models import Budget, UsageHour
from staff.models import StaffRole
from taskqueue.messages import Submission, TurnBody
from taskqueue.sync_client import Queue
from tenants.models import ApiKey, Tenant
from tenants.services import issue_key, revoke_key
from tests.browser.room import Room
from tests.faces.conftest import Web
from tests.scene import Party, Scene
from tests.staff.members import member


def month_of_usage(party: Party, scene: Scene) -> None:
    """Thirty days with weeks in them: three agents, of which one costs most."""
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    agents = [party.agent] + [
        create_agent(tenant=party.tenant, slug=slug, name=slug.title(), pool=scene.pool) for slug in ("clerk", "critic")
    ]
    rows = []
    for day in range(30):
        for number, agent in enumerate(agents):
            hour = now - timedelta(days=day, hours=2 * number)
            work = 1 + math.cos(2 * math.pi * (hour.weekday() - 2) / 7)
            tokens = int((3 - number) * 40_000 * (0.4 + work))
            tasks = tokens // 900
            rows.append(
                UsageHour(
                    tenant=party.tenant, agent=agent, pool=scene.pool, hour=hour, requests=tasks, succeeded=tasks - 3,
                    failed=3, turns=tasks, prompt_tokens=tokens, completion_tokens=tokens // 4,
                    cost=Decimal(tokens) * Decimal("0.000009"),
                )
            )  # fmt: skip
    UsageHour.objects.bulk_create(rows)


def waiting(party: Party, queue: Queue, count: int) -> list[Task]:
    """Tasks that wait, in Postgres and in the queue."""
    tasks = [party.task() for _ in range(count)]
    queue.enqueue([
        Submission(
            turn=str(task.turns.get().pk), task=str(task.pk), tenant=str(task.tenant_id), weight=1.0,
            estimated_tokens=100, body=TurnBody(prompt="x"),
        )
        for task in tasks
    ])  # fmt: skip
    return tasks


def furnish(web: Web, queue: Queue) -> None:
    """A tenant with a month behind it and work under way."""
    party = web.scene.ann
    Tenant.objects.filter(pk=party.tenant.pk).update(
        slug="museum", name="City Museum", requests_per_minute=60, tokens_per_month=12_000_000, max_running=4,
        max_waiting=20, weight=2,
    )  # fmt: skip
    month_of_usage(party, web.scene)
    Budget.objects.create(tenant=party.tenant, amount=Decimal(30), is_hard=False)
    look(now=timezone.now())
    narrow = issue_key(
        tenant=party.tenant, name="newsletter", scopes=["tasks:write"], requests_per_minute=10, max_running=1
    )
    ApiKey.objects.for_tenant(party.tenant).filter(pk=narrow.key.pk).update(last_used_at=timezone.now())
    revoke_key(key=issue_key(tenant=party.tenant, name="left with the intern").key)
    broken = {"error": {"code": "engine_error", "message": "The engine ended: CUDA out of memory."}}
    party.task(state="failed", finished_at=timezone.now(), **broken)
    waiting(party, queue, 9)
    queue.claim("speaker", 3, lease_s=120)
    waiting(web.scene.bob, queue, 2)


def test_a_tenants_page_is_live_and_its_tenant_can_be_suspended(room: Room, web: Web, redis_url: str) -> None:
    page, pool = room.page, web.scene.pool.slug
    queue = Queue(redis_url, pool)
    furnish(web, queue)
    room.open("tenants/museum/")
    limits = page.get_by_role("list", name="Limits of the tenant")
    expect(limits).to_contain_text("6 of 20 waiting")
    expect(limits).to_contain_text("3 of 4 running")
    expect(page.locator(".live-link")).to_have_text("live")
    usage = page.get_by_role("table", name="Usage in the chosen span")
    expect(usage.get_by_role("row", name="poet")).to_be_visible()
    expect(page.locator("#usage-chart canvas")).to_be_visible()
    expect(page.get_by_text("The engine ended: CUDA out of memory.")).to_be_visible()
    room.look("tenant")
    page.get_by_label("Show").select_option("prompt_tokens")
    page.locator("[name=by]").select_option("pool")
    expect(usage.get_by_role("row", name=pool)).to_be_visible()
    waiting(web.scene.ann, queue, 4)
    expect(limits).to_contain_text("10 of 20 waiting")

    page.get_by_role("link", name=re.compile("Revoke newsletter")).click()
    page.get_by_role("button", name="Revoke the key").click()
    expect(page.get_by_role("row", name="newsletter")).to_contain_text("revoked")
    page.get_by_role("link", name="Suspend…").click()
    page.get_by_label("Cancel what waits and runs now").check()
    room.look("tenant-suspend")
    page.get_by_role("button", name="Suspend City Museum").click()
    expect(page.get_by_text("13 tasks were waiting or running and are ending.")).to_be_visible()
    expect(page.get_by_text("This tenant is suspended")).to_be_visible()
    expect(limits).to_contain_text("0 of 20 waiting")
    page.get_by_role("link", name="Reactivate…").click()
    page.get_by_role("button", name="Reactivate City Museum").click()
    expect(page.locator(".standing .badge")).to_have_text("active")
    queue.close()


def test_a_tenant_administrator_begins_on_the_own_page_and_makes_a_key(enter: Callable[..., Room], web: Web) -> None:
    room = enter(member(StaffRole.Role.TENANT_ADMINISTRATOR, web.scene.ann.tenant))
    page = room.page
    expect(page.get_by_role("heading", name="Ann", level=1)).to_be_visible()
    assert page.url.endswith(f"/console/tenants/{web.scene.ann.tenant.slug}/")
    expect(page.get_by_role("link", name="Suspend…")).to_have_count(0)
    page.get_by_role("link", name="Make a key…").click()
    page.get_by_label("Name").fill("kiosk")
    page.get_by_label("tasks:write").check()
    page.get_by_role("button", name="Make the key").click()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("status")).to_have_text(re.compile("Copied|It is selected"))
    page.get_by_label("The key").evaluate("field => (field.value = 'ops_' + '•'.repeat(43))")  # not for the picture
    room.look("tenant-key")
    page.reload()  # sends the form no second time
    expect(page.get_by_role("heading", name="Ann", level=1)).to_be_visible()
    expect(page.get_by_role("row", name="kiosk")).to_have_count(1)
    assert page.get_by_label("The key").count() == 0
