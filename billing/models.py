"""Usage and cost: tokens by hour, prices, budgets, and the whole GPU bill. Django looks for models from here."""

from __future__ import annotations

from billing.budget_rows import Budget, BudgetNotice
from billing.gpu_rows import BilledHour, GpuHour
from billing.price_rows import Price
from billing.usage_rows import ServedHour, UsageHour
from tenants.models import Tenant

__all__ = ["BilledHour", "Budget", "BudgetNotice", "GpuHour", "Price", "ServedHour", "TenantUsage", "UsageHour"]


class TenantUsage(Tenant):
    """A tenant, as the console's page of totals shows it."""

    class Meta:
        proxy = True
        verbose_name = "usage of a tenant"
        verbose_name_plural = "usage by tenant"
