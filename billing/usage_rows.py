"""What was used, rolled up by the hour. Triggers write these rows in the transaction that writes the outcome (migrations/0001)."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models import F, Q

from tenants.identifiers import new_id
from tenants.scoping import TenantOwned


class UsageHour(TenantOwned):
    """One hour (UTC) of one tenant, key, agent and pool. Turns and tasks count in the hour in which they ended."""

    COUNTS: ClassVar[tuple[str, ...]] = ("requests", "succeeded", "failed", "cancelled", "expired", "turns", "prompt_tokens",
                        "cached_tokens", "completion_tokens", "cost")  # fmt: skip

    id = models.UUIDField(primary_key=True, default=new_id, db_default=RandomUUID(), editable=False)
    api_key = models.ForeignKey("tenants.ApiKey", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    agent = models.ForeignKey("agents.Agent", on_delete=models.PROTECT, related_name="+")
    pool = models.ForeignKey("orchestrator.Pool", on_delete=models.PROTECT, related_name="+")
    hour = models.DateTimeField(help_text="Its first moment.")
    requests = models.PositiveBigIntegerField(default=0, db_default=0, help_text="Tasks that ended.")
    succeeded = models.PositiveBigIntegerField(default=0, db_default=0)
    failed = models.PositiveBigIntegerField(default=0, db_default=0)
    cancelled = models.PositiveBigIntegerField(default=0, db_default=0)
    expired = models.PositiveBigIntegerField(default=0, db_default=0)
    turns = models.PositiveBigIntegerField(default=0, db_default=0, help_text="Model calls that ended.")
    prompt_tokens = models.PositiveBigIntegerField(default=0, db_default=0)
    cached_tokens = models.PositiveBigIntegerField(
        default=0, db_default=0, help_text="Of the prompt's, those that the engine had in its prefix cache."
    )
    completion_tokens = models.PositiveBigIntegerField(default=0, db_default=0)
    cost = models.DecimalField(
        max_digits=30, decimal_places=12, default=0, db_default=0, help_text="At the prices of the moments they ended."
    )

    class Meta:
        ordering: ClassVar = ["-hour"]
        verbose_name = "usage of an hour"
        verbose_name_plural = "usage by the hour"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "hour", "pool", "agent", "api_key"], nulls_distinct=False, name="usage_hour_once"
            ),
            models.CheckConstraint(
                condition=Q(requests=F("succeeded") + F("failed") + F("cancelled") + F("expired")),
                name="usage_hour_every_request_has_its_outcome",
            ),
            models.CheckConstraint(
                condition=Q(cached_tokens__lte=F("prompt_tokens"), cost__gte=0), name="usage_hour_amounts"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["hour"], name="usage_hour_by_time")]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:%M}: {self.requests} requests"


class ServedHour(TenantOwned):
    """What one worker served to one tenant in one hour: by what its busy time is split. A turn is spread evenly over its time."""

    id = models.UUIDField(primary_key=True, default=new_id, db_default=RandomUUID(), editable=False)
    pool = models.ForeignKey("orchestrator.Pool", on_delete=models.PROTECT, related_name="+")
    worker = models.CharField(max_length=100, help_text="Its id; the worker's row goes before the bill does.")
    hour = models.DateTimeField(help_text="Its first moment.")
    prompt_tokens = models.DecimalField(max_digits=24, decimal_places=6)
    completion_tokens = models.DecimalField(max_digits=24, decimal_places=6)

    class Meta:
        ordering: ClassVar = ["-hour"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["hour", "worker", "pool", "tenant"], name="served_hour_once"),
            models.CheckConstraint(
                condition=Q(prompt_tokens__gte=0, completion_tokens__gte=0), name="served_hour_amounts"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:%M}, {self.worker}"
