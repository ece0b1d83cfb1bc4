"""Recorded demand, and what is foreseen of it, as rows. They stand apart from `orchestrator.models`, which imports them."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q

LEAST_HISTORY_DAYS = 3
"""One to know the season by, one to try it on, and one more, since old minutes go once a day."""


class DemandMinute(models.Model):
    """What came in of a pool in one minute, and how queue and fleet stood at its end. Never changed afterwards.

    A minute that nobody saw has no row; what is not known of one that was seen is null.
    """

    pool = models.ForeignKey(
        "orchestrator.Pool", on_delete=models.CASCADE, related_name="demand_minutes", db_index=False
    )  # the unique key has it first
    minute = models.DateTimeField(help_text="Its first moment.")
    arrived = models.PositiveIntegerField(help_text="Turns that came in.")
    arrived_tokens = models.PositiveBigIntegerField(help_text="Their tokens as estimated, prompts and answers.")
    most_waiting = models.PositiveIntegerField(help_text="The most that waited at a time.")
    arrived_after = models.PositiveBigIntegerField(help_text="The queue's counter of turns at its end.")
    tokens_after = models.PositiveBigIntegerField(help_text="The queue's counter of tokens at its end.")
    waiting = models.PositiveIntegerField(null=True, help_text="Turns that waited at its end.")
    running = models.PositiveIntegerField(null=True, help_text="Turns that ran at its end.")
    unrecorded = models.PositiveIntegerField(null=True, help_text="Records that were not in Postgres at its end.")
    slots = models.PositiveIntegerField(null=True, help_text="Slots of the workers that were ready.")
    starting = models.PositiveSmallIntegerField(null=True, help_text="Workers in this state at its end.")
    ready = models.PositiveSmallIntegerField(null=True, help_text="Workers in this state at its end.")
    draining = models.PositiveSmallIntegerField(null=True, help_text="Workers in this state at its end.")
    desired = models.PositiveSmallIntegerField(null=True, help_text="Workers that the last decision wanted.")
    tokens_made = models.PositiveBigIntegerField(null=True, help_text="Tokens that workers made in it.")
    tokens_read = models.PositiveBigIntegerField(null=True, help_text="Tokens of prompts that workers read in it.")

    class Meta:
        ordering: ClassVar = ["-minute"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["pool", "minute"], name="demand_minute_once_per_pool"),
        ]
        indexes: ClassVar = [BrinIndex(fields=["minute"], name="demand_minute_by_time")]

    def __str__(self) -> str:
        return f"{self.pool}, {self.minute:%Y-%m-%d %H:%M}: {self.arrived}"


class DemandForecast(models.Model):
    """What is foreseen of a pool's demand: the last forecast that was made."""

    pool = models.OneToOneField(
        "orchestrator.Pool", primary_key=True, on_delete=models.CASCADE, related_name="forecast"
    )
    made_at = models.DateTimeField()
    begins_at = models.DateTimeField(help_text="When the first step begins.")
    step_s = models.FloatField()
    turns_per_s = models.JSONField(
        default=list, help_text="The expected mean rate of each step; none: too little is known."
    )
    error = models.FloatField(null=True, help_text="How far such forecasts lay off, as a part of what came.")
    plain_error = models.FloatField(null=True, help_text="How far those lay off that know no season.")
    season = models.CharField(max_length=10, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(step_s__gt=0), name="demand_forecast_step_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.pool}, {self.made_at:%Y-%m-%d %H:%M}"
