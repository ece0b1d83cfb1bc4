"""The topic `tenant`: what a tenant and its keys use of their limits now, and what fair share gives it. One trip to Redis."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Q, Sum
from django.http import Http404
from django.utils import timezone

from agents.limits import Limits, Month, bill
from agents.models import Agent
from billing.models import Budget, UsageHour
from billing.selectors import currency, spent
from console.frame import NotFound
from console.tenants.found import tenant_of
from console.tenants.limits import Bar, money_bar, queue_bars, spending_bars, what_of
from console.tenants.share import share_of
from orchestrator.models import Pool
from staff.access import Access
from taskqueue import keys as queue_keys
from taskqueue.buckets import Meter
from taskqueue.connections import connect
from taskqueue.failures import QueueUnavailable
from taskqueue.use import Standing, Use, read_use
from tenants.models import ApiKey, Tenant

POOLS_SHOWN = 16
KEYS_SHOWN = 20
"""Keys with limits of their own that have bars."""


def read(access: Access, of: str) -> dict[str, Any]:
    """The topic's snapshot."""
    try:
        return snapshot(tenant_of(access, of), now=timezone.now())
    except Http404 as missing:
        raise NotFound(str(missing)) from None


def snapshot(tenant: Tenant, *, now: datetime) -> dict[str, Any]:
    """The bars of the tenant and of those of its keys that have limits of their own, and its share of each pool."""
    pools, keys, budgets = _pools(tenant), _limited_keys(tenant), _budgets(tenant)
    all_owners: list[Tenant | ApiKey] = [tenant, *keys]
    meters = {owner.pk: _meters(tenant, owner, now) for owner in all_owners}
    month = Month.of(now)
    amounts = spent(budgets, month=month) if budgets else {}
    tokens = _tokens_of_month(tenant, month)
    base = {"active": tenant.is_active, "at": now.isoformat(timespec="seconds")}
    try:
        with closing(connect(settings.REDIS_URL)) as redis:
            use = read_use(
                redis,
                tenant=str(tenant.pk),
                owners=[str(owner.pk) for owner in all_owners],
                pools=pools,
                meters=[meter for some in meters.values() for meter in some],
            )
    except QueueUnavailable:
        return {**base, "owners": [], "shares": [], "error": "Redis does not answer: current use is unknown."}
    owners = []
    for owner in all_owners:
        key = None if owner is tenant else owner.pk
        bars = _bars(owner, use, pools, meters[owner.pk], sum(tokens.values()) if key is None else tokens.get(key, 0))
        for budget in budgets:
            if budget.api_key_id == key:
                amount = amounts[budget.pk]
                bars.append(money_bar(spent=amount, amount=budget.amount, currency=currency(), is_hard=budget.is_hard))
        owners.append(
            {
                "name": "" if key is None else str(owner),
                "stopped": _stopped(owner.budget_spent_until, now),
                "bars": [bar.plain() for bar in bars if key is None or bar.limit],
            }
        )
    return {**base, "owners": owners, "shares": _shares(tenant, use, pools)}


def _pools(tenant: Tenant) -> list[str]:
    """The pools of its agents, and those that are dedicated to it."""
    used = Agent.objects.for_tenant(tenant).filter(archived_at__isnull=True).values("current_revision__pool")
    found = Pool.objects.filter(Q(pk__in=used) | Q(tenant=tenant)).order_by("slug").values_list("slug", flat=True)
    return [slug for slug in found[:POOLS_SHOWN] if queue_keys.is_pool_name(slug)]


def _limited_keys(tenant: Tenant) -> list[ApiKey]:
    own = Q()
    for limit in ("max_waiting", "max_running", "requests_per_minute", "tokens_per_minute", "tokens_per_month"):
        own |= Q(**{f"{limit}__gt": 0})
    budgeted = Budget.objects.for_tenant(tenant).filter(api_key__isnull=False).values("api_key")
    valid = ApiKey.objects.for_tenant(tenant).filter(revoked_at__isnull=True)
    return list(valid.filter(own | Q(pk__in=budgeted)).order_by("name", "pk")[:KEYS_SHOWN])


def _budgets(tenant: Tenant) -> list[Budget]:
    return list(Budget.objects.for_tenant(tenant))


def _limits(owner: Tenant | ApiKey) -> Limits:
    return Limits(owner.requests_per_minute, owner.tokens_per_minute, owner.tokens_per_month)


def _meters(tenant: Tenant, owner: Tenant | ApiKey, now: datetime) -> tuple[Meter, ...]:
    """The meters of one owner, by the names that submissions charge."""
    is_key = isinstance(owner, ApiKey)
    return bill(
        tenant=tenant.pk,
        limits=Limits() if is_key else _limits(owner),
        key=owner.pk if is_key else None,
        key_limits=_limits(owner) if is_key else Limits(),
        at=now,
        requests=1,
        tokens=0,
    ).meters


def _tokens_of_month(tenant: Tenant, month: Month) -> dict[UUID | None, int]:
    """Tokens of this month's ended tasks, by key: what stands in where Redis has not counted them."""
    rows = UsageHour.objects.for_tenant(tenant).filter(hour__gte=month.start, hour__lt=month.end)
    summed = rows.order_by().values("api_key").annotate(tokens=Sum("prompt_tokens") + Sum("completion_tokens"))
    return {row["api_key"]: row["tokens"] for row in summed}


def _bars(owner: Tenant | ApiKey, use: Use, pools: list[str], meters: tuple[Meter, ...], of_month: int) -> list[Bar]:
    known = {what_of(meter) for meter in meters}
    places = {pool: use.standings.get((pool, str(owner.pk)), Standing(0, 0)) for pool in pools}
    return [
        *queue_bars(places, max_waiting=owner.max_waiting, max_running=owner.max_running),
        *spending_bars(
            meters,
            use.spent,
            of_month=of_month,
            unlimited=[what for what in ("requests", "tokens", "month") if what not in known],
        ),
    ]


def _stopped(until: datetime | None, now: datetime) -> str:
    """Said where a budget of money is spent."""
    return (
        f"Its budget is spent: new tasks are refused until {until:%Y-%m-%d %H:%M} UTC." if until and until > now else ""
    )


def _shares(tenant: Tenant, use: Use, pools: list[str]) -> list[dict[str, Any]]:
    waiting = {one for pool in pools for one in use.contention[pool].tenants}
    weights = {
        str(pk): weight
        for pk, weight in Tenant.objects.filter(pk__in=waiting - {str(tenant.pk)}).values_list("pk", "weight")
    }
    shares = []
    for pool in pools:
        running_all, contenders = use.contention[pool]
        others = [one for one in contenders if one in weights]
        share = share_of(
            str(tenant.pk),
            pool=pool,
            weights={str(tenant.pk): tenant.weight, **{one: weights[one] for one in others}},
            waits=str(tenant.pk) in contenders,
            running=use.standings[pool, str(tenant.pk)].running,
            running_all=running_all,
        )
        shares.append({"pool": pool, "text": share.words(others=len(others))})
    return shares
