"""What workers said of their work, minute by minute, as rows. They stand apart from `orchestrator.models`, which imports them."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.indexes import BrinIndex
from django.db import models


class WorkMinute(models.Model):
    """The sums of a worker's last heartbeat in a minute, since its start (`taskqueue.messages.Work`). Never changed afterwards."""

    worker = models.ForeignKey(
        "orchestrator.Worker", on_delete=models.CASCADE, related_name="work_minutes", db_index=False
    )  # the unique key has it first
    minute = models.DateTimeField(help_text="The first moment of the heartbeat's minute.")
    at = models.DateTimeField(help_text="When the heartbeat came.")
    busy_ms = models.PositiveBigIntegerField(help_text="Milliseconds that its engine's steps took.")
    steps = models.PositiveBigIntegerField()
    sequences = models.PositiveBigIntegerField()
    prefilled = models.PositiveBigIntegerField()

    class Meta:
        ordering: ClassVar = ["-minute"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["worker", "minute"], name="work_minute_once_per_worker"),
        ]
        indexes: ClassVar = [BrinIndex(fields=["minute"], name="work_minute_by_time")]

    def __str__(self) -> str:
        return f"{self.worker_id}, {self.minute:%Y-%m-%d %H:%M}: {self.busy_ms} ms"
