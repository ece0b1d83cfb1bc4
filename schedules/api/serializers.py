"""The forms of schedules: fields and their checks, no logic."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from agents.api.openapi.forms import ref
from agents.api.serializers import Form, QueryForm
from schedules.models import Firing, Schedule

NEXT_MAX = 100


@extend_schema_field(ref("TaskRequest"))
class TaskField(serializers.DictField):
    """A task as `POST /api/v1/tasks` takes it."""


class ScheduleSerializer(serializers.ModelSerializer[Schedule]):
    """A task that is submitted at the times of a cron expression. `paused_at`: too many firings in a row failed."""

    agent = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    task = TaskField(read_only=True)
    last_error = serializers.DictField(read_only=True, allow_null=True)

    class Meta:
        model = Schedule
        fields = (
            "id", "name", "agent", "task", "cron", "time_zone", "catch_up", "overlap", "is_enabled", "next_at", "last_at",
            "last_task", "last_error", "failures", "paused_at", "retry_at", "api_key", "created_by", "created_at",
        )  # fmt: skip


class ScheduleInput(Form):
    """What a caller says of a schedule. It runs in the name of the key that asks."""

    name = serializers.CharField(max_length=100)
    task = TaskField()
    cron = serializers.CharField(max_length=200, help_text="Minute, hour, day of month, month, day of week.")
    time_zone = serializers.CharField(max_length=64, required=False, help_text="An IANA name; UTC if left out.")
    catch_up = serializers.ChoiceField(
        choices=Schedule.CatchUp.choices,
        required=False,
        help_text="What becomes of firings that are more than a minute late; `skip` if left out.",
    )
    overlap = serializers.ChoiceField(
        choices=Schedule.Overlap.choices,
        required=False,
        help_text="Whether it fires while its last task has not ended; `allow` if left out.",
    )
    is_enabled = serializers.BooleanField(required=False)


class ScheduleChange(ScheduleInput):
    """A change: what is left out stays."""

    name = serializers.CharField(max_length=100, required=False)
    task = TaskField(required=False)
    cron = serializers.CharField(max_length=200, required=False)


class ScheduleFilter(QueryForm):
    """Filters of the list of schedules."""

    agent = serializers.SlugField(required=False)


class NextQuery(QueryForm):
    """How many firings to foretell."""

    count = serializers.IntegerField(min_value=1, max_value=NEXT_MAX, default=5)


class NextFirings(serializers.Serializer[Any]):
    """When it fires next, as local time of its zone with the offset. Empty where it is not enabled."""

    next = serializers.ListField(child=serializers.DateTimeField())


class FiringSerializer(serializers.ModelSerializer[Firing]):
    """What came of a nominal time. `count` is more than 1 where several were missed together."""

    error = serializers.DictField(read_only=True, allow_null=True)

    class Meta:
        model = Firing
        fields = ("nominal_at", "state", "task", "count", "error", "created_at")
