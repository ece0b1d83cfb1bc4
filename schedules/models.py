"""Schedules, and what came of each of their firings."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from tenants.identifiers import new_id
from tenants.scoping import TenantOwned


class Schedule(TenantOwned):
    """A task that is submitted again and again, at the times of a cron expression, in the name of an API key."""

    class CatchUp(models.TextChoices):
        SKIP = "skip", "skip what was missed"
        LAST = "last", "run the latest that was missed"
        ALL = "all", "run all that were missed"

    class Overlap(models.TextChoices):
        ALLOW = "allow", "run beside it"
        SKIP = "skip", "skip while the last task runs"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=100)
    agent = models.ForeignKey("agents.Agent", on_delete=models.PROTECT, related_name="schedules")
    task = models.JSONField(help_text="As `POST /api/v1/tasks` takes it.")
    cron = models.CharField(max_length=200, help_text="Minute, hour, day of month, month, day of week.")
    time_zone = models.CharField(max_length=64, default="UTC")
    catch_up = models.CharField(max_length=4, choices=CatchUp.choices, default=CatchUp.SKIP)
    overlap = models.CharField(max_length=5, choices=Overlap.choices, default=Overlap.ALLOW)
    api_key = models.ForeignKey(
        "tenants.ApiKey", on_delete=models.PROTECT, related_name="+", help_text="In whose name it runs."
    )
    is_enabled = models.BooleanField(default=True)
    next_at = models.DateTimeField(null=True, blank=True, help_text="The nominal time of the next firing.")
    last_at = models.DateTimeField(null=True, blank=True, help_text="The nominal time of the last task.")
    last_task = models.ForeignKey("agents.Task", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    last_error = models.JSONField(null=True, blank=True, help_text="Why the last firing made no task; null if it did.")
    failures = models.PositiveSmallIntegerField(default=0, help_text="Firings in a row that failed.")
    paused_at = models.DateTimeField(null=True, blank=True, help_text="When too many failures ended it.")
    retry_at = models.DateTimeField(null=True, blank=True, help_text="When a firing that was put off is tried again.")
    lease_until = models.DateTimeField(null=True, blank=True, help_text="Until when a process may be firing it.")
    created_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["-created_at"]
        indexes: ClassVar = [
            models.Index(fields=["tenant", "-created_at", "-id"], name="schedule_by_tenant"),
            models.Index(fields=["next_at"], name="schedule_due", condition=Q(is_enabled=True)),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "name"], name="schedule_name_per_tenant"),
            models.CheckConstraint(condition=Q(catch_up__in=["skip", "last", "all"]), name="schedule_catch_up_known"),
            models.CheckConstraint(condition=Q(overlap__in=["allow", "skip"]), name="schedule_overlap_known"),
            models.CheckConstraint(
                condition=Q(is_enabled=True, next_at__isnull=False, paused_at__isnull=True)
                | Q(is_enabled=False, next_at__isnull=True),
                name="schedule_next_iff_enabled",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Firing(TenantOwned):
    """What came of one nominal time; of several that were missed together there is one row, at the last of them."""

    class State(models.TextChoices):
        FIRED = "fired"
        SKIPPED = "skipped", "skipped: the last task still ran"
        MISSED = "missed", "missed: nothing ran then, and the rule makes it not good"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="firings")
    nominal_at = models.DateTimeField(help_text="When it was to happen.")
    state = models.CharField(max_length=8, choices=State.choices)
    task = models.ForeignKey("agents.Task", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    count = models.PositiveIntegerField(default=1, help_text="How many nominal times this is about.")
    error = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["-created_at"]
        indexes: ClassVar = [models.Index(fields=["schedule", "-created_at", "-id"], name="firing_by_schedule")]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["schedule", "nominal_at"], name="firing_once_per_nominal_time"),
            models.CheckConstraint(
                condition=Q(state__in=["fired", "skipped", "missed", "failed"]), name="firing_state_known"
            ),
            models.CheckConstraint(condition=Q(count__gte=1), name="firing_count_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.schedule}: {self.nominal_at:%Y-%m-%d %H:%M}"


FIRING_STATES = Firing.State.choices
