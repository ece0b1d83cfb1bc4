"""Endpoints that tenants want to be told at, what is delivered to them, and each attempt at it."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from telemetry.context import CHARS, PATTERN
from tenants.identifiers import new_id
from tenants.scoping import TenantOwned


class Endpoint(TenantOwned):
    """A URL that is told of events. Its secrets are encrypted (tenants.vault); the new one is shown once."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    url = models.TextField()
    description = models.CharField(max_length=200, blank=True)
    event_types = ArrayField(
        models.CharField(max_length=64), default=list, blank=True, help_text="What it is told of; empty: everything."
    )
    enabled = models.BooleanField(default=True)
    disabled_reason = models.CharField(
        max_length=300, blank=True, editable=False, help_text="Why Opsite disabled it; empty where its tenant did."
    )
    failing_since = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="The first failure after its last success."
    )
    secret = models.TextField(editable=False)
    old_secret = models.TextField(blank=True, editable=False)
    old_secret_expires_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Until then messages are signed with the secret before, too."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        indexes: ClassVar = [models.Index(fields=["tenant", "-created_at", "-id"], name="endpoint_by_tenant")]
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(url="") & ~Q(secret=""), name="endpoint_has_url_and_secret"),
            models.CheckConstraint(
                condition=Q(old_secret="", old_secret_expires_at__isnull=True)
                | (~Q(old_secret="") & Q(old_secret_expires_at__isnull=False)),
                name="endpoint_old_secret_expires",
            ),
            models.CheckConstraint(
                condition=Q(enabled=False) | Q(disabled_reason=""), name="endpoint_disabled_for_a_reason"
            ),
        ]

    def __str__(self) -> str:
        return self.description or str(self.id)


class Delivery(TenantOwned):
    """One event on its way to one endpoint, from the transaction that announced it until it was heard or given up."""

    class State(models.TextChoices):
        """`pending` until an attempt succeeds, or the day is over."""

        PENDING = "pending"
        DELIVERED = "delivered"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="deliveries")
    type = models.CharField(max_length=64)
    payload = models.JSONField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    due_at = models.DateTimeField(default=timezone.now)
    give_up_at = models.DateTimeField()
    leased_until = models.DateTimeField(null=True, blank=True, help_text="A process makes an attempt until then.")
    claims = models.PositiveIntegerField(
        default=0, help_text="Attempts that began. The last one's number fences off a process that lost its lease."
    )
    tries = models.PositiveIntegerField(default=0, help_text="The same, since the event was announced or replayed.")
    trace = models.CharField(
        max_length=CHARS,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="The place in a trace of what it tells of, as in a task's row; empty: there is none.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        verbose_name_plural = "deliveries"
        indexes: ClassVar = [
            models.Index(fields=["endpoint", "-created_at", "-id"], name="delivery_by_endpoint"),
            models.Index(fields=["created_at"], name="delivery_by_time"),
            models.Index(fields=["endpoint", "due_at"], name="delivery_due", condition=Q(state="pending")),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(state__in=["pending", "delivered", "failed"]), name="delivery_state_known"
            ),
            models.CheckConstraint(
                condition=Q(state="pending", finished_at__isnull=True)
                | (~Q(state="pending") & Q(finished_at__isnull=False, leased_until__isnull=True)),
                name="delivery_finished_iff_ended",
            ),
            models.CheckConstraint(condition=Q(trace="") | Q(trace__regex=PATTERN), name="delivery_trace_well_formed"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"

    @property
    def next_attempt_at(self) -> datetime | None:
        """When it is attempted next; None when it has ended."""
        return self.due_at if self.state == self.State.PENDING else None


class Attempt(TenantOwned):
    """One request to the endpoint, and what came of it. One that a killed process began is missing: its number is left out."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    at = models.DateTimeField()
    duration_ms = models.PositiveIntegerField()
    status = models.PositiveSmallIntegerField(null=True, blank=True, help_text="HTTP's; none if there was no answer.")
    error = models.JSONField(null=True, blank=True, help_text="Why there was no answer: a code and a sentence.")
    excerpt = models.TextField(blank=True, help_text="How the answer began.")

    class Meta:
        ordering: ClassVar = ["delivery", "-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["delivery", "number"], name="attempt_number_per_delivery"),
            models.CheckConstraint(
                condition=Q(status__isnull=True, error__isnull=False) | Q(status__isnull=False, error__isnull=True),
                name="attempt_answered_or_not",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.delivery_id}/{self.number}"
