"""The forms of input sets and comparisons: fields and their checks, no logic."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agents.api.serializers import Form, QueryForm
from comparisons.models import Comparison, InputSet
from comparisons.services import ITEMS_MAX

NUMBER_MAX = 2**31 - 1
PAGE = 50
PAGE_MAX = 200


class InputSetSerializer(serializers.ModelSerializer[InputSet]):
    """Saved inputs of an agent. Each item has `messages`, and `checks` of the answer: `text`, `regex`, `json`."""

    agent = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    items = serializers.ListField(child=serializers.DictField(), read_only=True)

    class Meta:
        model = InputSet
        fields = ("id", "agent", "name", "items", "created_by", "created_at")


class InputSetInput(Form):
    """A set as a caller writes it. An item has `input` (a string) or `messages`, and may have `checks`."""

    agent = serializers.SlugField()
    name = serializers.CharField(max_length=100)
    items = serializers.ListField(child=serializers.DictField(), allow_empty=False, max_length=ITEMS_MAX)


class OfAgent(QueryForm):
    """Filters of both lists."""

    agent = serializers.SlugField(required=False)


class ComparisonInput(Form):
    """Two revisions, by number, and the set that both answer."""

    input_set = serializers.UUIDField()
    left = serializers.IntegerField(min_value=1, max_value=NUMBER_MAX)
    right = serializers.IntegerField(min_value=1, max_value=NUMBER_MAX)


class SideTotals(serializers.Serializer[Any]):
    """One side in sum. Seconds are means from acceptance: until begun, until the first token, until the outcome."""

    runs = serializers.IntegerField()
    succeeded = serializers.IntegerField()
    failed = serializers.IntegerField()
    checks_passed = serializers.IntegerField()
    checks = serializers.IntegerField()
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    queued_s = serializers.FloatField(allow_null=True)
    first_token_s = serializers.FloatField(allow_null=True)
    total_s = serializers.FloatField(allow_null=True)


class Totals(serializers.Serializer[Any]):
    """Both sides in sum; `differ` counts the inputs that were answered otherwise."""

    left = SideTotals()
    right = SideTotals()
    differ = serializers.IntegerField()


class ComparisonSerializer(serializers.ModelSerializer[Comparison]):
    """Two revisions on one set of inputs. `held_up_by`: why no task of it is accepted now; it goes on by itself."""

    agent = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    left = serializers.IntegerField(source="left.number", read_only=True)
    right = serializers.IntegerField(source="right.number", read_only=True)
    held_up_by = serializers.DictField(read_only=True, allow_null=True)

    class Meta:
        model = Comparison
        fields = (
            "id", "agent", "input_set", "left", "right", "state", "held_up_by", "created_by", "created_at", "finished_at",
        )  # fmt: skip


class Report(ComparisonSerializer):
    """A comparison with what it found so far."""

    totals = Totals(read_only=True)

    class Meta(ComparisonSerializer.Meta):
        fields = (*ComparisonSerializer.Meta.fields, "totals")  # type: ignore[assignment]


class CheckResult(serializers.Serializer[Any]):
    """What came of one check."""

    check = serializers.CharField()
    passed = serializers.BooleanField()
    message = serializers.CharField()


class ReportSide(serializers.Serializer[Any]):
    """One side's run of an input. `state` is empty until its task is accepted."""

    task = serializers.UUIDField(allow_null=True)
    state = serializers.CharField()
    output = serializers.CharField()
    error = serializers.DictField(allow_null=True)
    checks = CheckResult(many=True)
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    queued_s = serializers.FloatField(allow_null=True)
    first_token_s = serializers.FloatField(allow_null=True)
    total_s = serializers.FloatField(allow_null=True)


class ReportItem(serializers.Serializer[Any]):
    """An input with both answers. `differ` is null until both have ended."""

    number = serializers.IntegerField()
    messages = serializers.ListField(child=serializers.DictField())
    differ = serializers.BooleanField(allow_null=True)
    left = ReportSide()
    right = ReportSide()


class ReportPage(serializers.Serializer[Any]):
    """Inputs in order; `next` is what `after` of the following page says, null on the last one."""

    next = serializers.IntegerField(allow_null=True)
    results = ReportItem(many=True)


class PageQuery(QueryForm):
    """Which inputs of the report."""

    after = serializers.IntegerField(min_value=0, max_value=NUMBER_MAX, default=0)
    count = serializers.IntegerField(min_value=1, max_value=PAGE_MAX, default=PAGE)
