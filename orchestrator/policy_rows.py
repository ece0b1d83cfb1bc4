"""Pools' scaling policies as rows. They stand apart from `orchestrator.models`, which imports them.

A field's label and help text here are its words everywhere: on the pool's page, in the lists and forms, and in refusals.
"""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from orchestrator.demand_rows import LEAST_HISTORY_DAYS
from orchestrator.validators import valid_schedule, valid_zone
from tenants.identifiers import new_id


class ScalingPolicy(models.Model):
    """How a pool's fleet follows its work."""

    class Kind(models.TextChoices):
        QUEUE_DEPTH = "queue_depth", "queue depth with cooldown"
        TARGET_WAIT = "target_wait", "wait under a bound"
        FORECAST = "forecast", "wait under a bound, with a floor by forecast"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    pool = models.OneToOneField("orchestrator.Pool", on_delete=models.CASCADE, related_name="policy")
    kind = models.CharField(
        max_length=20, choices=Kind, default=Kind.QUEUE_DEPTH, help_text="What decides how many workers there are."
    )
    min_workers = models.PositiveSmallIntegerField(
        "minimum workers", default=0, help_text="So many are kept whatever comes; 0: without work there is none."
    )
    max_workers = models.PositiveSmallIntegerField(
        "maximum workers", default=2, help_text="More are never started, whatever waits."
    )
    standby_workers = models.PositiveSmallIntegerField(
        "standby workers",
        default=0,
        help_text="Workers kept free beyond those that the running tasks fill, up to the maximum.",
    )
    wait_bound_s = models.FloatField(
        "wait bound (s)",
        default=5.0,
        validators=[MinValueValidator(0.1)],
        help_text="Wait under a bound: what a task may wait for a slot. Whatever the kind, what waits for longer is counted on "
        "the pool's page and said on the overview.",
    )
    wait_share = models.FloatField(
        "share of tasks under the bound",
        default=0.99,
        validators=[MinValueValidator(0.5), MaxValueValidator(0.999)],
        help_text="Wait under a bound: the share of tasks to keep under it, 0.99 for 99 of 100. A higher share keeps more "
        "workers in reserve.",
    )
    waiting_per_worker = models.PositiveIntegerField(
        "waiting tasks per worker",
        default=8,
        validators=[MinValueValidator(1)],
        help_text="Queue depth: waiting tasks that one worker more is worth. Wait under a bound goes by it until it has measured.",
    )
    up_cooldown_s = models.FloatField(
        "cooldown before it grows (s)",
        default=5.0,
        help_text="Queue depth: between two growths, but from none. Wait under a bound grows at once.",
    )
    down_cooldown_s = models.FloatField(
        "cooldown before it shrinks (s)",
        null=True,
        blank=True,
        default=None,
        help_text="For so long no more than the remaining workers must have been needed before one goes. Empty: wait "
        "under a bound keeps a worker as long as a start was measured to take, queue depth for 60 s.",
    )
    idle_to_zero_s = models.FloatField(
        "idle until none is left (s)", default=300.0, help_text="Without any work for so long, the last worker goes."
    )
    gpu_hours_per_day = models.FloatField(
        "GPU-hours per day",
        default=0.0,
        help_text="When the day (UTC) has cost so many GPU-hours (without GPUs: worker-hours), the minimum is kept; 0: no bound.",
    )
    time_zone = models.CharField(
        max_length=64, default="UTC", validators=[valid_zone], help_text="Of the schedule: UTC, Europe/Berlin, ..."
    )
    schedule = models.JSONField(
        default=list,
        blank=True,
        validators=[valid_schedule],
        help_text="At least so many workers at these hours, whatever the kind: "
        '[{"days": ["mon", "tue"], "from": "08:00", "to": "18:00", "workers": 3}]. '
        'A "to" that is not later than "from" is the next day\'s.',
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "scaling policies"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(min_workers__lte=F("max_workers")),
                name="policy_min_lte_max",
                violation_error_message="The minimum of workers is above the maximum.",
            ),
            models.CheckConstraint(condition=Q(waiting_per_worker__gt=0), name="policy_threshold_positive"),
            models.CheckConstraint(
                condition=Q(up_cooldown_s__gte=0, down_cooldown_s__gte=0, idle_to_zero_s__gte=0),
                name="policy_durations_not_negative",
                violation_error_message="Cooldowns and the idle time are 0 s at least.",
            ),
            models.CheckConstraint(
                condition=Q(gpu_hours_per_day__gte=0),
                name="policy_budget_not_negative",
                violation_error_message="GPU-hours per day are 0 at least (0: no bound).",
            ),
            models.CheckConstraint(condition=Q(wait_bound_s__gte=0.1), name="policy_wait_bound_positive"),
            models.CheckConstraint(condition=Q(wait_share__gte=0.5, wait_share__lte=0.999), name="policy_wait_share"),
        ]

    def __str__(self) -> str:
        return f"{self.pool}: {self.min_workers} to {self.max_workers} by {self.get_kind_display()}"

    def clean(self) -> None:
        """An emptied schedule is an empty one: forms check no empty value, whatever its kind."""
        self.schedule = self.schedule or []
        if self.kind == self.Kind.FORECAST and settings.OPSITE_DEMAND_HISTORY_DAYS < LEAST_HISTORY_DAYS:
            kept = f"OPSITE_DEMAND_HISTORY_DAYS keeps {settings.OPSITE_DEMAND_HISTORY_DAYS}"
            raise ValidationError(
                {"kind": f"A forecast needs {LEAST_HISTORY_DAYS} days of recorded demand at least; {kept}."}
            )
