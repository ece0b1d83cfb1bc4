"""How turns went, minute by minute, as rows. They stand apart from `orchestrator.models`, which imports them."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q


class TurnMinute(models.Model):
    """Turns of a pool that left the queue in one minute, with their waits, and those that ended in it.

    A trigger of `agents` counts them in the transaction that writes it, so a minute may still grow while its records are behind.
    `waits` are numbers of turns by the length of their wait (`orchestrator.history.waits` has the bounds).
    """

    pool = models.ForeignKey(
        "orchestrator.Pool", on_delete=models.CASCADE, related_name="turn_minutes", db_index=False
    )  # the unique key has it first
    minute = models.DateTimeField(help_text="Its first moment.")
    claimed = models.PositiveIntegerField(default=0, db_default=0, help_text="Turns that a worker first claimed in it.")
    tasks_begun = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Of those that were claimed, the first turns of their tasks."
    )
    waits = ArrayField(models.PositiveIntegerField(), default=list, db_default=[])
    longest_wait_ms = models.PositiveBigIntegerField(default=0, db_default=0)
    ended = models.PositiveIntegerField(default=0, db_default=0)
    failed = models.PositiveIntegerField(default=0, db_default=0, help_text="Of those that ended.")
    expired = models.PositiveIntegerField(default=0, db_default=0, help_text="Of those that ended.")
    prompt_tokens = models.PositiveBigIntegerField(default=0, db_default=0, help_text="Of those that ended.")
    completion_tokens = models.PositiveBigIntegerField(default=0, db_default=0, help_text="Of those that ended.")

    class Meta:
        ordering: ClassVar = ["-minute"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["pool", "minute"], name="turn_minute_once_per_pool"),
            models.CheckConstraint(condition=Q(ended__gte=F("failed") + F("expired")), name="turn_minute_ends_add_up"),
        ]
        indexes: ClassVar = [BrinIndex(fields=["minute"], name="turn_minute_by_time")]

    def __str__(self) -> str:
        return f"{self.pool}, {self.minute:%Y-%m-%d %H:%M}: {self.claimed} claimed, {self.ended} ended"
