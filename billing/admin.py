"""Usage, prices, budgets and the GPU bill in the console."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.forms import ModelForm, SplitDateTimeField
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from unfold.admin import TabularInline
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSplitDateTimeWidget

from agents.limits import Month
from billing import budgets, selectors
from billing.models import BilledHour, Budget, BudgetNotice, GpuHour, Price, TenantUsage, UsageHour
from orchestrator.admin import PoolAdmin
from staff.lists.columns import two_lines, way
from tenants.admin import AcrossTenants, Facts, ReadOnly


class PriceForm(ModelForm[Price]):
    """A new price. Without a moment it is valid from now on."""

    valid_from = SplitDateTimeField(
        required=False,
        widget=UnfoldAdminSplitDateTimeWidget(),
        help_text="Empty: from now on. A price that has begun stays; add another one.",
    )

    class Meta:
        model = Price
        fields = ("valid_from", "input", "cached_input", "output", "gpu_second")

    def clean_valid_from(self) -> Any:
        """What was used keeps the price that it had."""
        moment, now = self.cleaned_data["valid_from"], timezone.now()
        if moment is not None and moment < now:
            raise ValidationError(
                "This has passed: what was used then keeps its price. Leave it empty, or give a later moment."
            )
        return moment or now


class PriceInline(TabularInline):
    """A pool's prices, on the pool's page."""

    model = Price
    form = PriceForm
    extra = 0
    can_delete = False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


PoolAdmin.inlines = [*PoolAdmin.inlines, PriceInline]


@admin.register(Price)
class PriceAdmin(Facts):
    """All prices there are and were; new ones are added on the pool's page."""

    list_empty = "A price is added on the form of its pool, and holds from a moment on."
    list_display = ("pool", "valid_from", "input", "cached_input", "output", "gpu_second", "created_by")
    list_filter = ("pool",)
    list_select_related = ("pool",)


@admin.register(Budget)
class BudgetAdmin(AcrossTenants):
    """What may be spent in a month, and how much of it is."""

    list_display = ("tenant", "api_key", "amount", "spent", "warn_percent", "is_hard")
    list_filter = ("is_hard", "tenant")
    list_select_related = ("tenant", "api_key")
    autocomplete_fields = ("tenant", "api_key")
    readonly_fields = ("spent", "created_at")

    @display(description="spent this month")
    def spent(self, budget: Budget) -> str:
        """So far."""
        if budget._state.adding:
            return ""
        month = Month.of(timezone.now())
        amount = selectors.spent([budget], month=month)[budget.pk]
        return f"{amount:.2f} {selectors.currency()} ({100 * amount / budget.amount:.0f} %)"

    def save_model(self, request: HttpRequest, obj: Budget, form: ModelForm[Budget], change: bool) -> None:
        super().save_model(request, obj, form, change)
        budgets.look(now=timezone.now())

    def delete_model(self, request: HttpRequest, obj: Budget) -> None:
        super().delete_model(request, obj)
        budgets.look(now=timezone.now())


@admin.register(BudgetNotice)
class BudgetNoticeAdmin(ReadOnly):
    """Who was warned or stopped, and when."""

    list_display = ("created_at", "tenant", "api_key", "month", "kind", "amount", "shown_spent")
    list_filter = ("created_at", "kind", "tenant")
    list_select_related = ("tenant", "api_key")

    @display(description="spent")
    def shown_spent(self, notice: BudgetNotice) -> str:
        """To the cent."""
        return f"{notice.spent:.2f} {selectors.currency()}"


@admin.register(UsageHour)
class UsageHourAdmin(ReadOnly):
    """Tokens and tasks by the hour."""

    list_display = (
        "hour",
        "tenant",
        "of_agent",
        "api_key",
        "requests",
        "failed",
        "prompt_tokens",
        "completion_tokens",
        "shown_cost",
    )
    export_columns = ("hour", "tenant", "pool", "agent", "api_key", *UsageHour.COUNTS)
    is_large = True
    list_filter = ("hour", "tenant", "pool")
    list_select_related = ("tenant", "pool", "agent", "api_key")

    @display(description="agent, pool")
    def of_agent(self, row: UsageHour) -> str:
        """And where it ran."""
        return two_lines(row.agent, row.pool)

    @display(description="cost")
    def shown_cost(self, row: UsageHour) -> str:
        """Without idle zeros."""
        return selectors.money(row.cost)


@admin.register(TenantUsage)
class TenantUsageAdmin(Facts):
    """This month's totals of each tenant."""

    tenant_lookup = "pk"
    list_display = (
        "slug",
        "name",
        "requests",
        "prompt_tokens",
        "completion_tokens",
        "token_cost",
        "gpu_hours",
        "gpu_cost",
        "total",
    )
    search_fields = ("slug", "name")
    fields = ("slug", "name")

    def get_queryset(self, request: HttpRequest) -> QuerySet[TenantUsage]:
        month = Month.of(timezone.now())
        lies_in = {"tenant": OuterRef("pk"), "hour__gte": month.start, "hour__lt": month.end}
        rows = super().get_queryset(request)
        for source, names in (
            (UsageHour, ("requests", "prompt_tokens", "completion_tokens", "cost")),
            (GpuHour, ("gpu_ms", "cost")),
        ):
            of_month = source.objects.across_tenants().filter(**lies_in).order_by().values("tenant")
            rows = rows.annotate(
                **{f"{source.__name__}_{name}": Subquery(of_month.annotate(n=Sum(name)).values("n")) for name in names}
            )
        return rows

    @display(description="tasks", ordering="UsageHour_requests")
    def requests(self, row: Any) -> int:
        """That ended this month."""
        return row.UsageHour_requests or 0

    @display(description="prompt tokens", ordering="UsageHour_prompt_tokens")
    def prompt_tokens(self, row: Any) -> int:
        """This month's."""
        return row.UsageHour_prompt_tokens or 0

    @display(description="completion tokens", ordering="UsageHour_completion_tokens")
    def completion_tokens(self, row: Any) -> int:
        """This month's."""
        return row.UsageHour_completion_tokens or 0

    @display(description="tokens cost", ordering="UsageHour_cost")
    def token_cost(self, row: Any) -> str:
        """To the cent."""
        return f"{row.UsageHour_cost or 0:.2f}"

    @display(description="GPU-hours", ordering="GpuHour_gpu_ms")
    def gpu_hours(self, row: Any) -> str:
        """As the GPU bill charges them."""
        return f"{(row.GpuHour_gpu_ms or 0) / 3_600_000:.2f}"

    @display(description="GPUs cost", ordering="GpuHour_cost")
    def gpu_cost(self, row: Any) -> str:
        """To the cent."""
        return f"{row.GpuHour_cost or 0:.2f}"

    @display(description="total")
    def total(self, row: Any) -> str:
        """Tokens and GPUs."""
        return f"{(row.UsageHour_cost or Decimal(0)) + (row.GpuHour_cost or Decimal(0)):.2f} {selectors.currency()}"


@admin.register(GpuHour)
class GpuHourAdmin(ReadOnly):
    """Who is charged for which worker's time."""

    list_display = ("hour", "pool", "shown_worker", "tenant", "kind", "gpu_ms", "shown_cost")
    export_columns = ("hour", "pool", "worker", "tenant", "kind", "gpu_ms", "cost")
    is_large = True
    list_filter = ("hour", "kind", "pool", "tenant")
    list_select_related = ("pool", "tenant")

    @display(description="worker")
    def shown_worker(self, row: GpuHour) -> str:
        """The way to its page."""
        return way(reverse("console:worker", args=[row.worker]), str(row.worker)[-8:], title=row.worker)

    @display(description="cost")
    def shown_cost(self, row: GpuHour) -> str:
        """Without idle zeros."""
        return selectors.money(row.cost)


@admin.register(BilledHour)
class BilledHourAdmin(Facts):
    """The whole bill, and whether it adds up: what workers' rows say beside what was charged."""

    list_display = ("hour", "pool", "wall", "charged", "difference", "starting", "busy", "idle", "operators", "unknown",
                    "is_final")  # fmt: skip
    export_columns = (*list_display, "prompt_weight")
    list_filter = ("hour", "is_final", "pool")
    list_select_related = ("pool",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[BilledHour]:
        of_hour = GpuHour.objects.across_tenants().filter(hour=OuterRef("hour"), pool=OuterRef("pool")).order_by()
        return (
            super()
            .get_queryset(request)
            .annotate(
                charged_ms=Subquery(of_hour.values("hour").annotate(n=Sum("gpu_ms")).values("n")),
                operators_ms=Subquery(
                    of_hour.filter(tenant__isnull=True).values("hour").annotate(n=Sum("gpu_ms")).values("n")
                ),
            )
        )

    @display(description="GPU-seconds, by workers' rows", ordering="wall_ms")
    def wall(self, row: BilledHour) -> str:
        return _seconds(row.wall_ms)

    @display(description="charged", ordering="charged_ms")
    def charged(self, row: Any) -> str:
        return _seconds(row.charged_ms)

    @display(description="difference")
    def difference(self, row: Any) -> str:
        return _seconds(row.wall_ms - (row.charged_ms or 0))

    @display(description="starting", ordering="starting_ms")
    def starting(self, row: BilledHour) -> str:
        return _seconds(row.starting_ms)

    @display(description="busy", ordering="busy_ms")
    def busy(self, row: BilledHour) -> str:
        return _seconds(row.busy_ms)

    @display(description="idle", ordering="idle_ms")
    def idle(self, row: BilledHour) -> str:
        return _seconds(row.idle_ms)

    @display(description="the operator's", ordering="operators_ms")
    def operators(self, row: Any) -> str:
        return _seconds(row.operators_ms)

    @display(description="not heard of (worker-seconds)", ordering="unknown_ms")
    def unknown(self, row: BilledHour) -> str:
        return _seconds(row.unknown_ms)


def _seconds(ms: int | None) -> str:
    """To the millisecond."""
    return f"{(ms or 0) / 1000:.3f}"
