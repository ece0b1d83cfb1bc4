"""What a tenant, or one of its keys, may spend in a calendar month (UTC), and what was said when it did."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from tenants.identifiers import new_id
from tenants.scoping import TenantOwned, tenant_scope


class Budget(TenantOwned):
    """A budget of money. A tenant's counts its tokens and its part of the GPU bill; a key's counts the key's tokens."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    api_key = models.ForeignKey(
        "tenants.ApiKey",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        help_text="Of this key alone; empty: of the whole tenant.",
    )
    amount = models.DecimalField(max_digits=14, decimal_places=2, help_text="Per calendar month (UTC).")
    warn_percent = models.PositiveSmallIntegerField(
        default=80,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="At this share of it the tenant is warned.",
    )
    is_hard = models.BooleanField(
        "stops",
        default=True,
        help_text="When it is spent, new tasks are refused until the month ends or it is raised. Off: it only warns.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["tenant", "api_key"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "api_key"], nulls_distinct=False, name="budget_once_per_owner"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="budget_positive"),
            models.CheckConstraint(condition=Q(warn_percent__gte=1, warn_percent__lte=100), name="budget_warn_share"),
        ]

    def __str__(self) -> str:
        return f"{self.tenant}{f', {self.api_key}' if self.api_key else ''}: {self.amount} a month"

    def clean(self) -> None:
        """A key's budget is its tenant's."""
        if self.api_key is not None and self.api_key.tenant_id != self.tenant_id:
            raise ValidationError({"api_key": "This key is another tenant's; choose one of this tenant's keys."})

    def validate_constraints(self, exclude: Any = None) -> None:
        """Whether there is another such budget, asked of its own tenant's."""
        if self.tenant_id is not None:
            with tenant_scope(self.tenant_id):
                super().validate_constraints(exclude)


class BudgetNotice(TenantOwned):
    """A budget was nearly or wholly spent: said once for a month and an amount."""

    KINDS: ClassVar = [("warning", "nearly spent"), ("spent", "spent")]

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    budget = models.ForeignKey(Budget, null=True, blank=True, on_delete=models.SET_NULL, related_name="notices")
    api_key = models.ForeignKey(
        "tenants.ApiKey", null=True, blank=True, on_delete=models.SET_NULL, related_name="+", help_text="Whose it was."
    )
    month = models.DateField(help_text="Its first day.")
    kind = models.CharField(max_length=10, choices=KINDS)
    amount = models.DecimalField(max_digits=14, decimal_places=2, help_text="What the budget was then.")
    spent = models.DecimalField(max_digits=30, decimal_places=12)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["budget", "month", "kind", "amount"], name="budget_notice_once"),
            models.CheckConstraint(condition=Q(kind__in=["warning", "spent"]), name="budget_notice_kind_known"),
        ]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}: {self.get_kind_display()}"
