"""What a caller may say of the usage that it wants to see, and how it is shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from agents.api.serializers import QueryForm
from agents.problems import bad_field
from billing.selectors import GROUPS, money

HOUR = timedelta(hours=1)
DEFAULT_SPAN = {"hour": timedelta(days=1), "day": timedelta(days=30)}
LONGEST_SPAN = {"hour": timedelta(days=92), "day": timedelta(days=731)}


class Moment(serializers.DateTimeField):
    """A whole hour, with its time zone: usage is kept by the hour."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(default_timezone=UTC, **kwargs)

    def enforce_timezone(self, value: datetime) -> datetime:
        if value.tzinfo is None:
            raise serializers.ValidationError("needs a time zone, such as 2026-01-01T00:00:00Z")
        try:
            moment = value.astimezone(UTC)
        except OverflowError:
            raise serializers.ValidationError(
                "lies outside of all time; give an hour between the years 1 and 9999"
            ) from None
        if moment.minute or moment.second or moment.microsecond:
            raise serializers.ValidationError("must be a whole hour (UTC), such as 2026-01-01T09:00:00Z")
        return moment


class Period(QueryForm):
    """From when to when, in which steps, and in which form."""

    interval = serializers.ChoiceField(choices=["hour", "day"], default="day", help_text="Of each row, in UTC.")
    to = Moment(required=False, help_text="To before this hour; the present hour's end if it is left out.")
    format = serializers.ChoiceField(choices=["json", "csv"], required=False, help_text="Stands over `Accept`.")

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """`from` is a word of Python's."""
        since = Moment(
            required=False, help_text="From this hour on; a day (by hours) or 30 days before `to` if it is left out."
        )
        return {"from": since, **super().get_fields()}

    def refuse_unknown(self, data: Any) -> None:
        """These answers have no pages."""
        super(QueryForm, self).refuse_unknown(data)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        interval = attrs["interval"]
        present = timezone.now().astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        end = attrs.setdefault("to", present + HOUR)
        try:
            begin = attrs.setdefault("from", end - DEFAULT_SPAN[interval])
        except OverflowError:
            raise bad_field("to", "lies before all time; give a later hour") from None
        if begin >= end:
            raise bad_field("from", "must lie before `to`")
        if end - begin > (most := LONGEST_SPAN[interval]):
            raise bad_field("from", f"by the {interval}, {most.days} days at most can be asked for at once")
        return attrs


class UsageFilter(Period):
    """Which usage, and what is told apart."""

    group_by = serializers.MultipleChoiceField(
        choices=list(GROUPS), required=False, help_text="What is told apart; may be given several times."
    )
    key = serializers.UUIDField(required=False, help_text="Of this API key (its id) only.")
    agent = serializers.CharField(max_length=63, required=False, help_text="Of this agent only.")
    model = serializers.CharField(max_length=63, required=False, help_text="Of this pool only.")

    def grouped(self) -> list[str]:
        """The groups, in the order of `GROUPS`."""
        asked: set[str] = self.validated_data.get("group_by", set())
        return [name for name in GROUPS if name in asked]

    def filters(self) -> dict[str, Any]:
        """The filters that were given."""
        return {name: self.validated_data[name] for name in GROUPS if name in self.validated_data}


class GpuFilter(Period):
    """Which part of the GPU bill."""

    model = serializers.CharField(max_length=63, required=False, help_text="Of this pool only.")


@extend_schema_field({"type": "string", "pattern": r"^\d+\.\d{2,12}$", "examples": ["12.500175"]})
class Money(serializers.Field[Decimal, Any, str, Any]):
    """An exact amount, as text: a float would not be."""

    def to_representation(self, value: Decimal) -> str:
        return money(value)


class Counts(serializers.Serializer[Any]):
    """What was used, and its cost."""

    requests = serializers.IntegerField(help_text="Tasks that ended.")
    succeeded = serializers.IntegerField()
    failed = serializers.IntegerField()
    cancelled = serializers.IntegerField()
    expired = serializers.IntegerField()
    turns = serializers.IntegerField(help_text="Model calls that ended.")
    prompt_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField(help_text="Of the prompt's, those out of the prefix cache.")
    completion_tokens = serializers.IntegerField()
    cost = Money()


class UsageRow(Counts):
    """An hour or day. `key`, `agent` and `model` are there where they were asked for in `group_by`."""

    start = serializers.DateTimeField(default_timezone=UTC)
    key = serializers.UUIDField(required=False, allow_null=True, help_text="Null: submitted by nobody's key.")
    agent = serializers.CharField(required=False)
    model = serializers.CharField(required=False)

    def to_representation(self, instance: dict[str, Any]) -> dict[str, Any]:
        """A group that was not asked for is left out, also where it might be null."""
        shown: dict[str, Any] = super().to_representation(instance)
        return {name: value for name, value in shown.items() if name in instance}


class GpuCounts(serializers.Serializer[Any]):
    """GPU time in milliseconds, and its cost."""

    starting_ms = serializers.IntegerField()
    busy_ms = serializers.IntegerField()
    idle_ms = serializers.IntegerField()
    gpu_ms = serializers.IntegerField(help_text="Their sum.")
    cost = Money()


class GpuRow(GpuCounts):
    """An hour or day of a model."""

    start = serializers.DateTimeField(default_timezone=UTC)
    model = serializers.CharField()
    is_final = serializers.BooleanField(help_text="Nothing of it will change.")


class _Answer(serializers.Serializer[Any]):
    interval = serializers.ChoiceField(choices=["hour", "day"])
    to = serializers.DateTimeField(default_timezone=UTC)
    currency = serializers.CharField(help_text="Of every `cost`: a code of ISO 4217.")

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """`from` is a word of Python's."""
        return {"from": serializers.DateTimeField(default_timezone=UTC), **super().get_fields()}


@extend_schema_serializer(many=False)  # the list of rows is in it
class UsageAnswer(_Answer):
    """Usage from `from` to before `to`."""

    total = Counts()
    rows = UsageRow(many=True)


@extend_schema_serializer(many=False)
class GpuAnswer(_Answer):
    """The tenant's part of the GPU bill from `from` to before `to`."""

    total = GpuCounts()
    rows = GpuRow(many=True)
