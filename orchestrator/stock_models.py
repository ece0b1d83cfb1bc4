"""What lies ready on a host for its workers, as its orchestrator saw it last."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from tenants.identifiers import new_id


class StockItem(models.Model):
    """An image or a model's weights on one host."""

    class Kind(models.TextChoices):
        IMAGE = "image", "image"
        WEIGHTS = "weights", "weights"

    class State(models.TextChoices):
        MISSING = "missing", "not looked at yet"
        FETCHING = "fetching", "being fetched"
        PRESENT = "present", "present"
        FAILED = "failed", "failed"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    host = models.CharField(max_length=253)
    kind = models.CharField(max_length=10, choices=Kind)
    name = models.CharField(max_length=1100, help_text="The image's name, or the model's hub id (and revision).")
    state = models.CharField(max_length=10, choices=State)
    done_bytes = models.BigIntegerField(default=0)
    total_bytes = models.BigIntegerField(default=0, help_text="0: not known.")
    error = models.TextField(blank=True)
    changed_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["host", "kind", "name"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["host", "kind", "name"], name="stock_item_once_per_host"),
            models.CheckConstraint(condition=Q(kind__in=["image", "weights"]), name="stock_item_kind_known"),
            models.CheckConstraint(
                condition=Q(state__in=["missing", "fetching", "present", "failed"]), name="stock_item_state_known"
            ),
            models.CheckConstraint(
                condition=Q(done_bytes__gte=0, total_bytes__gte=0), name="stock_item_bytes_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.name}"
