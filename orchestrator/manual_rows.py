"""Sizes that staff set by hand, as rows. They stand apart from `orchestrator.models`, which imports them."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

MOST_WORKERS = 1000
"""More than any host has room for: what is above is a slip of the hand."""


class ManualSize(models.Model):
    """What a pool's fleet is kept at instead of what its policy wants. A row whose time is over says nothing any more."""

    pool = models.OneToOneField(
        "orchestrator.Pool", primary_key=True, on_delete=models.CASCADE, related_name="manual_size"
    )
    workers = models.PositiveSmallIntegerField()
    until = models.DateTimeField(null=True, blank=True, help_text="Empty: drained, until somebody resumes the pool.")
    set_by = models.CharField(max_length=200)
    set_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(workers__lte=MOST_WORKERS), name="manual_size_at_most"),
            models.CheckConstraint(
                condition=Q(until__isnull=False) | Q(workers=0), name="manual_size_without_end_is_a_drain"
            ),
            models.CheckConstraint(
                condition=Q(until__isnull=True) | Q(until__gt=F("set_at")), name="manual_size_ends_later"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pool}: {self.workers} until {self.until or 'it is resumed'}"
