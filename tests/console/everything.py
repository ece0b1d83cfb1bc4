"""A row of every model that the console shows, for two tenants and for nobody."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.utils import timezone

from agents.models import Message, Summary
from audit.models import Entry
from batches.models import Batch
from billing.models import BilledHour, Budget, BudgetNotice, GpuHour, Price, UsageHour
from comparisons.models import Comparison, ComparisonRun
from orchestrator.models import Pool, PoolRevision, ScalingDecision, ScalingPolicy, Worker
from orchestrator.revisions import note_edit
from orchestrator.stock_models import StockItem
from tenants.models import Tenant
from tenants.scoping import TenantOwned
from tests.conformance.belongings import Belongings
from tests.staff.members import member


@dataclass(frozen=True)
class Everything:
    """Both tenants, and the pool that they share."""

    pool: Pool
    ann: Belongings
    bob: Belongings
    account: User

    @classmethod
    def make(cls) -> Everything:
        """All of it, in this test's transaction."""
        pool = Pool.objects.create(slug="shared", name="Shared", engine=Pool.Engine.SIMULATED, slots=8)
        ScalingPolicy.objects.create(pool=pool)
        now = timezone.now()
        note_edit(pool.pk, now=now)
        Worker.objects.create(
            pool=pool, revision=PoolRevision.objects.get(), runtime="process", slots=1, started_at=now
        )
        ScalingDecision.objects.create(pool=pool, at=now, current=0, desired=1, reason="x", signals={})
        StockItem.objects.create(host="here", kind="image", name="x", state="present", changed_at=now)
        Price.objects.create(pool=pool, valid_from=now, input=1, cached_input=1, output=1, gpu_second=1)
        BilledHour.objects.create(
            pool=pool, hour=_hour(), wall_ms=1, starting_ms=1, busy_ms=0, idle_ms=0, unknown_ms=0, billed_at=now,
            prompt_weight=Decimal(1),
        )  # fmt: skip
        ann, bob = (_owner(pool) for _ in range(2))
        return cls(pool, ann, bob, member("viewer"))

    def row(self, label: str, own: Belongings) -> Any:
        """A row of that model: this tenant's, or where a row is nobody's, the only one."""
        model: Any = next(one for one in admin.site._registry if one._meta.label_lower == label)
        if issubclass(model, Tenant):
            return model.objects.get(pk=own.party.tenant.pk)
        if issubclass(model, Entry):
            return model.objects.filter(tenant_id=own.party.tenant.pk).order_by("pk").first()
        if issubclass(model, TenantOwned):
            return model.objects.for_tenant(own.party.tenant).order_by("pk").first()
        return self.account if model is User else model._default_manager.order_by("pk").first()

    def marks(self, own: Belongings) -> set[str]:
        """What stands in no page that this tenant's rows have no place in: names and ids that are unique to it."""
        tenant = own.party.tenant
        owned = [model for model in admin.site._registry if issubclass(model, TenantOwned)]
        ids = {str(pk) for model in owned for pk in model.objects.for_tenant(tenant).values_list("pk", flat=True)}
        return {tenant.slug, str(tenant.pk), *(one for one in ids if len(one) == len(str(tenant.pk)))}


def _hour() -> Any:
    return timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)


def _owner(pool: Pool) -> Belongings:
    """A tenant with a row of each kind, and a pool of its own that the other must not hear of."""
    own = Belongings(pool=pool, url="", mcp_url="https://mcp.example/")
    tenant, party = own.party.tenant, own.party
    Pool.objects.create(slug=f"of-{tenant.slug}", name="Own", engine=Pool.Engine.SIMULATED, tenant=tenant)
    for make in (own.asking_task, own.tool, own.mcp_server, own.secret, own.endpoint, own.document, own.schedule):
        make()
    own.comparison()
    Comparison.objects.for_tenant(tenant).update(state="done", finished_at=timezone.now())
    assert ComparisonRun.objects.for_tenant(tenant).exists()
    own.batch()
    Batch.objects.for_tenant(tenant).update(metadata={"of": tenant.slug})
    own.conversation()
    message = Message.objects.for_tenant(tenant).order_by("number").first()
    assert message is not None
    Summary.objects.create(
        tenant=tenant, conversation=message.conversation, last_message=message, turn=None, messages=1, text="Short."
    )
    Entry.objects.create(
        actor_kind=Entry.ActorKind.STAFF, actor="op", action="tenant.looked_at", object_kind="tenants.tenant",
        object_id=str(tenant.pk), object_name=tenant.slug, tenant_id=tenant.pk,
    )  # fmt: skip
    budget = Budget.objects.create(tenant=tenant, amount=10)
    BudgetNotice.objects.create(
        tenant=tenant, budget=budget, month=_hour().date().replace(day=1), kind="warning", amount=10, spent=9
    )
    UsageHour.objects.create(tenant=tenant, agent=party.agent, pool=pool, api_key=own.key, hour=_hour())
    GpuHour.objects.create(
        tenant=tenant, pool=pool, worker=Worker.objects.get().pk, hour=_hour(), kind="busy", gpu_ms=5, cost=1
    )
    return own
