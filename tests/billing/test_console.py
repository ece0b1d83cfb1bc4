"""The console: prices are added and never changed, budgets hold when they are saved, the bill shows whether it adds up."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing.models import BilledHour, Budget, BudgetNotice, GpuHour, Price, UsageHour
from tenants.identifiers import new_id
from tenants.models import ApiKey, Tenant
from tests.billing.conftest import price
from tests.scene import Scene

pytestmark = pytest.mark.django_db


def text_of(client: Client, name: str, *args: Any) -> str:
    answer = client.get(reverse(f"admin:{name}", args=args))
    assert answer.status_code == 200
    return answer.content.decode()


def form_of(client: Client, pool: Any) -> dict[str, Any]:
    """The pool's page as a browser would send it back."""
    answer = client.get(reverse("admin:orchestrator_pool_change", args=[pool.pk]))
    data: dict[str, Any] = {}
    context = answer.context
    forms = [context["adminform"].form]
    for inline in context["inline_admin_formsets"]:
        forms += [inline.formset.management_form, *inline.formset.forms]
    for form in forms:
        for bound in form:
            value = bound.value()
            if value is not None and value is not False:
                data[bound.html_name] = value
    return data


def test_a_price_is_added_on_the_pools_page_and_begins_now(admin_client: Client, scene: Scene) -> None:
    old = price(scene.pool, timezone.now() - timedelta(days=1), input="1")
    data = form_of(admin_client, scene.pool)
    first = "prices-0" if "prices-0-id" not in data else "prices-1"
    amounts = {"input": "2.5", "cached_input": "0.25", "output": "10", "gpu_second": "0.001"}
    data |= {f"{first}-{name}": amount for name, amount in amounts.items()}
    data |= {"prices-TOTAL_FORMS": str(int(first[-1]) + 1)}
    page = reverse("admin:orchestrator_pool_change", args=[scene.pool.pk])
    passed = {f"{first}-valid_from_0": "2020-01-01", f"{first}-valid_from_1": "00:00:00"}
    answer = admin_client.post(page, data | passed)
    assert answer.status_code == 200
    assert "keeps its price" in answer.content.decode()
    before = timezone.now()
    answer = admin_client.post(page, data)
    assert answer.status_code == 302, [
        answer.context["adminform"].form.errors,
        *(inline.formset.errors for inline in answer.context["inline_admin_formsets"]),
    ]
    new = Price.objects.exclude(pk=old.pk).get()
    assert (new.input, new.output, new.gpu_second) == (Decimal("2.5"), Decimal(10), Decimal("0.001"))
    assert before <= new.valid_from <= timezone.now()
    assert "0.250000" in text_of(admin_client, "billing_price_changelist")


def test_a_price_that_has_begun_is_history(scene: Scene) -> None:
    begun = price(scene.pool, timezone.now() - timedelta(days=1), input="1")
    ahead = price(scene.pool, timezone.now() + timedelta(days=1), input="1")
    begun.input = Decimal(5)
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        begun.save()
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        begun.delete()
    ahead.input = Decimal(5)
    ahead.save()
    ahead.delete()
    assert Price.objects.get().input == 1


def test_a_budget_that_is_saved_holds_at_once(admin_client: Client, scene: Scene) -> None:
    tenant = scene.ann.tenant
    UsageHour.objects.create(
        tenant=tenant, agent=scene.ann.agent, pool=scene.pool, cost=Decimal("7.5"),
        hour=timezone.now().replace(minute=0, second=0, microsecond=0),
    )  # fmt: skip
    data = {"tenant": str(tenant.pk), "amount": "7", "warn_percent": "80", "is_hard": "on"}
    assert admin_client.post(reverse("admin:billing_budget_add"), data).status_code == 302
    tenant.refresh_from_db()
    assert tenant.budget_spent_until is not None
    assert BudgetNotice.objects.for_tenant(tenant).count() == 2
    assert "7.50 USD (107 %)" in text_of(admin_client, "billing_budget_changelist")
    assert "7.50 USD" in text_of(admin_client, "billing_budgetnotice_changelist")
    row = Budget.objects.for_tenant(tenant).get()
    change = reverse("admin:billing_budget_change", args=[row.pk])
    assert admin_client.post(change, data | {"amount": "50"}).status_code == 302
    assert Tenant.objects.get(pk=tenant.pk).budget_spent_until is None
    totals = text_of(admin_client, "billing_tenantusage_changelist")
    assert "7.50 USD" in totals
    assert scene.bob.tenant.slug in totals
    assert tenant.slug in text_of(admin_client, "billing_usagehour_changelist")
    data |= {"amount": "1"}
    assert admin_client.post(change, data).status_code == 302
    assert Tenant.objects.get(pk=tenant.pk).budget_spent_until is not None
    assert admin_client.post(reverse("admin:billing_budget_delete", args=[row.pk]), {"post": "yes"}).status_code == 302
    assert Tenant.objects.get(pk=tenant.pk).budget_spent_until is None


def test_the_bill_is_shown_beside_what_rows_say(admin_client: Client, scene: Scene) -> None:
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    BilledHour.objects.create(
        pool=scene.pool, hour=hour, wall_ms=7_000_123, starting_ms=0, busy_ms=7_000_123, idle_ms=0, unknown_ms=0,
        prompt_weight=1, billed_at=hour,
    )  # fmt: skip
    charged = {"pool": scene.pool, "worker": new_id(), "hour": hour, "kind": "busy"}
    GpuHour.objects.create(tenant=scene.ann.tenant, gpu_ms=7_000_000, **charged)
    GpuHour.objects.create(tenant=None, gpu_ms=100, **charged)
    page = text_of(admin_client, "billing_billedhour_changelist")
    for shown in ("7000.123", "7000.100", "0.023", "0.100"):
        assert shown in page
    assert scene.ann.tenant.slug in text_of(admin_client, "billing_gpuhour_changelist")


def test_a_key_s_budget_is_saved_and_another_tenant_s_key_refused(admin_client: Client, scene: Scene) -> None:
    page = reverse("admin:billing_budget_add")
    said = {"tenant": scene.ann.tenant.pk, "amount": "5", "warn_percent": 80, "is_hard": "on"}
    keys = {
        name: ApiKey.objects.for_tenant(party.tenant).get() for name, party in (("ann", scene.ann), ("bob", scene.bob))
    }
    refused = admin_client.post(page, {**said, "api_key": keys["bob"].pk})
    assert "another tenant" in refused.content.decode()
    assert admin_client.post(page, {**said, "api_key": keys["ann"].pk}).status_code == 302
    assert Budget.objects.for_tenant(scene.ann.tenant).get().api_key == keys["ann"]
