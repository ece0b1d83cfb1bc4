"""A tenant's usage: parse, one selector call, format. Every query is the key's tenant's."""

from __future__ import annotations

from typing import Any, cast

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from agents.api.views import tenant_of
from agents.problems import bad_field
from billing import selectors
from billing.api import forms
from billing.api.rendering import ByQueryOrAccept, RowsAsCsv, Table

ROWS_MAX = 10_000
CSV = (200, "text/csv")
JSON = (200, "application/json")


class UsageViewSet(viewsets.ViewSet):
    """What a tenant used, and what that cost."""

    scope_area = "usage"
    renderer_classes = (JSONRenderer, RowsAsCsv)
    content_negotiation_class = ByQueryOrAccept

    @extend_schema(
        operation_id="usage",
        summary="Usage and its cost, by hour or day",
        parameters=[forms.UsageFilter],
        responses={JSON: forms.UsageAnswer, CSV: OpenApiTypes.STR},
    )
    def list(self, request: Request) -> Response:
        asked = forms.UsageFilter(data=request.query_params)
        period = _parsed(asked)
        rows = selectors.usage(
            tenant=tenant_of(request),
            begin=period["from"],
            end=period["to"],
            interval=period["interval"],
            group_by=asked.grouped(),
            filters=asked.filters(),
            limit=ROWS_MAX + 1,
        )
        columns = ["start", *asked.grouped(), *selectors.USAGE_COUNTS]
        return _answer(period, rows, selectors.USAGE_COUNTS, form=forms.UsageAnswer, columns=columns)

    @extend_schema(
        operation_id="usage_gpu",
        summary="The tenant's part of the GPU bill, by hour or day and model",
        parameters=[forms.GpuFilter],
        responses={JSON: forms.GpuAnswer, CSV: OpenApiTypes.STR},
    )
    @action(detail=False)
    def gpu(self, request: Request) -> Response:
        period = _parsed(forms.GpuFilter(data=request.query_params))
        rows = selectors.gpu_usage(
            tenant=tenant_of(request),
            begin=period["from"],
            end=period["to"],
            interval=period["interval"],
            model=period.get("model"),
            limit=ROWS_MAX + 1,
        )
        columns = ["start", "model", *selectors.GPU_COUNTS, "is_final"]
        return _answer(period, rows, selectors.GPU_COUNTS, form=forms.GpuAnswer, columns=columns)


def _parsed(form: forms.Period) -> dict[str, Any]:
    form.is_valid(raise_exception=True)
    return cast("dict[str, Any]", form.validated_data)


def _answer(
    period: dict[str, Any], rows: list[selectors.Row], counts: tuple[str, ...], *, form: type[Any], columns: list[str]
) -> Response:
    if len(rows) > ROWS_MAX:
        raise bad_field(
            "from", f"this has more than {ROWS_MAX} rows; ask for less time, by the day, or in fewer groups"
        )
    shown = form(
        {
            **{name: period[name] for name in ("from", "to", "interval")},
            "currency": selectors.currency(),
            "total": selectors.total(rows, counts),
            "rows": rows,
        }
    ).data
    return Table(shown, columns)
