"""Reads on usage, cost and the GPU bill: sums by time and by what was asked to be told apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from django.conf import settings
from django.db.models import DateTimeField, F, Max, Q, QuerySet, Sum
from django.db.models.functions import Trunc

from agents.limits import Month
from billing.models import BilledHour, Budget, GpuHour, UsageHour
from tenants.models import Tenant

Interval = Literal["hour", "day"]
GROUPS: dict[str, str] = {"key": "api_key_id", "agent": "agent__slug", "model": "pool__slug"}
"""What usage can be told apart by, and where that lies."""
Row = dict[str, Any]


def usage(
    *,
    tenant: Tenant,
    begin: datetime,
    end: datetime,
    interval: Interval,
    group_by: Sequence[str] = (),
    filters: Mapping[str, Any],
    limit: int,
) -> list[Row]:
    """A tenant's usage from `begin` to before `end`, by hour or day (UTC) and these groups; at most `limit` rows."""
    rows = UsageHour.objects.for_tenant(tenant).filter(hour__gte=begin, hour__lt=end)
    rows = rows.filter(**{GROUPS[name]: value for name, value in filters.items()})
    groups = {name: F(GROUPS[name]) for name in group_by}
    counts = {name: Sum(name) for name in UsageHour.COUNTS}
    found = _by_time(rows, interval).values("start", **{f"by_{name}": where for name, where in groups.items()})
    # An annotation may not be called as a column is, hence the prefixes.
    summed = found.annotate(**{f"of_{name}": total for name, total in counts.items()}).order_by(
        "start", *(f"by_{name}" for name in group_by)
    )[:limit]
    return [
        {
            "start": row["start"],
            **{name: row[f"by_{name}"] for name in group_by},
            **{name: row[f"of_{name}"] for name in UsageHour.COUNTS},
        }
        for row in summed
    ]


def total(rows: Iterable[Row], names: Sequence[str]) -> Row:
    """The sums of rows."""
    listed = list(rows)
    return {name: sum((row[name] for row in listed), Decimal(0) if name == "cost" else 0) for name in names}


USAGE_COUNTS = UsageHour.COUNTS
GPU_COUNTS = ("starting_ms", "busy_ms", "idle_ms", "gpu_ms", "cost")


def gpu_usage(
    *, tenant: Tenant, begin: datetime, end: datetime, interval: Interval, model: str | None, limit: int
) -> list[Row]:
    """A tenant's part of the GPU bill, by hour or day (UTC) and model."""
    rows = GpuHour.objects.for_tenant(tenant).filter(hour__gte=begin, hour__lt=end)
    if model is not None:
        rows = rows.filter(pool__slug=model)
    found = (
        _by_time(rows, interval)
        .values("start", model=F("pool__slug"))
        .annotate(
            last=Max("hour"),
            **{f"{kind}_ms": Sum("gpu_ms", filter=Q(kind=kind), default=0) for kind, _ in GpuHour.KINDS},
            all_ms=Sum("gpu_ms"),
            charged=Sum("cost"),
        )
        .order_by("start", "model")[:limit]
    )
    unsettled = BilledHour.objects.filter(is_final=False).order_by("hour").values_list("hour", flat=True).first()
    return [
        {
            "start": row["start"],
            "model": row["model"],
            "starting_ms": row["starting_ms"],
            "busy_ms": row["busy_ms"],
            "idle_ms": row["idle_ms"],
            "gpu_ms": row["all_ms"],
            "cost": row["charged"],
            "is_final": unsettled is None or row["last"] < unsettled,
        }
        for row in found
    ]


def spent(budgets: Iterable[Budget], *, month: Month) -> dict[UUID, Decimal]:
    """What was spent of each of these budgets in a month, by the budget's id: two queries, however many there are."""
    listed = list(budgets)
    tenants = {budget.tenant_id for budget in listed}
    lies_in = Q(tenant__in=tenants, hour__gte=month.start, hour__lt=month.end)
    by_key: dict[tuple[UUID, UUID | None], Decimal] = {}
    of_tenant: dict[UUID, Decimal] = dict.fromkeys(tenants, Decimal(0))
    tokens = UsageHour.objects.across_tenants().filter(lies_in).values("tenant", "api_key").annotate(money=Sum("cost"))
    for row in tokens.order_by():
        by_key[row["tenant"], row["api_key"]] = row["money"]
        of_tenant[row["tenant"]] += row["money"]
    gpus = GpuHour.objects.across_tenants().filter(lies_in).values("tenant").annotate(money=Sum("cost"))
    for part in gpus.order_by():
        of_tenant[part["tenant"]] += part["money"]
    return {
        budget.pk: of_tenant[budget.tenant_id]
        if budget.api_key_id is None
        else by_key.get((budget.tenant_id, budget.api_key_id), Decimal(0))
        for budget in listed
    }


def money(amount: Decimal) -> str:
    """An amount as text: exact, with two decimals at least."""
    plain = f"{amount:f}"
    whole, _, part = plain.partition(".")
    return f"{whole}.{part.rstrip('0').ljust(2, '0')}"


def currency() -> str:
    """The code of the money that all prices are in."""
    return str(settings.OPSITE_CURRENCY)


def _by_time(rows: QuerySet[Any], interval: Interval) -> QuerySet[Any]:
    timed: QuerySet[Any] = rows.annotate(start=Trunc("hour", interval, output_field=DateTimeField(), tzinfo=UTC))
    return timed
