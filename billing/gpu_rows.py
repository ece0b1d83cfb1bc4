"""The GPU bill: who is charged for which worker's time, hour by hour, and whether it adds up."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q

from tenants.identifiers import new_id
from tenants.scoping import TenantOwned


class GpuHour(TenantOwned):
    """Milliseconds of GPUs that one tenant is charged for one worker in one hour; no tenant: they are the operator's."""

    KINDS: ClassVar = [("starting", "starting"), ("busy", "busy"), ("idle", "idle")]

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant: models.ForeignKey[Any, Any] = models.ForeignKey(
        "tenants.Tenant", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    pool = models.ForeignKey("orchestrator.Pool", on_delete=models.PROTECT, related_name="+")
    worker = models.UUIDField(help_text="Its id; the worker's row goes before the bill does.")
    hour = models.DateTimeField(help_text="Its first moment.")
    kind = models.CharField(max_length=10, choices=KINDS)
    gpu_ms = models.PositiveBigIntegerField(
        help_text="Milliseconds times GPUs, or their shares (without GPUs: workers)."
    )
    cost = models.DecimalField(
        max_digits=30, decimal_places=12, default=0, help_text="At the price when the hour began."
    )

    class Meta:
        ordering: ClassVar = ["-hour"]
        verbose_name = "GPU time of an hour"
        verbose_name_plural = "GPU time by the hour"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["hour", "worker", "kind", "tenant"], nulls_distinct=False, name="gpu_hour_once"
            ),
            models.CheckConstraint(condition=Q(kind__in=["starting", "busy", "idle"]), name="gpu_hour_kind_known"),
            models.CheckConstraint(condition=Q(gpu_ms__gt=0, cost__gte=0), name="gpu_hour_amounts"),
        ]
        indexes: ClassVar = [models.Index(fields=["tenant", "hour"], name="gpu_hour_by_tenant")]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:%M}, {self.kind}: {self.gpu_ms} ms"


class BilledHour(models.Model):
    """A pool's hour as a whole: what its workers' rows say, and how it was split. Postgres refuses what does not add up."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    pool = models.ForeignKey("orchestrator.Pool", on_delete=models.PROTECT, related_name="+")
    hour = models.DateTimeField(help_text="Its first moment.")
    wall_ms = models.PositiveBigIntegerField(help_text="From workers' rows: milliseconds of their lives times GPUs.")
    starting_ms = models.PositiveBigIntegerField()
    busy_ms = models.PositiveBigIntegerField()
    idle_ms = models.PositiveBigIntegerField()
    unknown_ms = models.PositiveBigIntegerField(
        help_text="Of the idle time (wall-clock of workers), that of which no worker told anything."
    )
    prompt_weight = models.DecimalField(
        max_digits=8, decimal_places=6, help_text="What reading a prompt token was taken to cost beside making one."
    )
    is_final = models.BooleanField(default=False)
    billed_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-hour", "pool"]
        verbose_name = "billed hour"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["hour", "pool"], name="billed_hour_once"),
            models.CheckConstraint(
                condition=Q(wall_ms=F("starting_ms") + F("busy_ms") + F("idle_ms")), name="billed_hour_adds_up"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pool}, {self.hour:%Y-%m-%d %H:%M}"
