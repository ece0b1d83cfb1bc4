"""Input sets and comparisons by REST."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents.api.serializers import QueryForm
from agents.api.views import Listed, key_of, tenant_of
from agents.problems import bad_field
from comparisons import selectors, services
from comparisons.api import serializers as forms
from comparisons.models import Comparison, InputSet
from comparisons.table import lines


@extend_schema_view(
    list=extend_schema(summary="List input sets", parameters=[forms.OfAgent]),
    retrieve=extend_schema(summary="Get an input set"),
)
class InputSetViewSet(mixins.RetrieveModelMixin, Listed[InputSet]):
    """Saved inputs of the tenant's agents."""

    serializer_class = forms.InputSetSerializer
    queryset = InputSet.objects.none()
    scope_area = "comparisons"
    filters = forms.OfAgent

    def get_queryset(self) -> QuerySet[InputSet]:
        return InputSet.objects.for_tenant(tenant_of(self.request)).select_related("agent")

    def filtered(self, rows: QuerySet[InputSet], asked: dict[str, Any]) -> QuerySet[InputSet]:
        return rows.filter(agent__slug=asked["agent"]) if "agent" in asked else rows

    @extend_schema(summary="Save an input set", request=forms.InputSetInput, responses={201: forms.InputSetSerializer})
    def create(self, request: Request) -> Response:
        said = forms.InputSetInput.read(request.data)
        made = services.create_input_set(
            agent=services.agent_of(tenant_of(request), said["agent"]),
            name=said["name"],
            items=said["items"],
            created_by=str(request.auth),
        )
        return Response(self.get_serializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(summary="Delete an input set", responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        services.delete_input_set(input_set=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema_view(list=extend_schema(summary="List comparisons", parameters=[forms.OfAgent]))
class ComparisonViewSet(Listed[Comparison]):
    """Comparisons of two revisions of an agent."""

    serializer_class = forms.ComparisonSerializer
    queryset = Comparison.objects.none()
    scope_area = "comparisons"
    filters = forms.OfAgent

    def get_queryset(self) -> QuerySet[Comparison]:
        rows = Comparison.objects.for_tenant(tenant_of(self.request))
        return rows.select_related("agent", "left", "right", "input_set")

    def filtered(self, rows: QuerySet[Comparison], asked: dict[str, Any]) -> QuerySet[Comparison]:
        return rows.filter(agent__slug=asked["agent"]) if "agent" in asked else rows

    @extend_schema(
        summary="Compare two revisions on an input set",
        request=forms.ComparisonInput,
        responses={201: forms.ComparisonSerializer},
    )
    def create(self, request: Request) -> Response:
        said = forms.ComparisonInput.read(request.data)
        input_set = InputSet.objects.for_tenant(tenant_of(request)).filter(pk=said["input_set"]).first()
        if input_set is None:
            raise bad_field("input_set", "there is no such input set")
        made = services.create_comparison(
            input_set=input_set, left=said["left"], right=said["right"], key=key_of(request)
        )
        return Response(self.get_serializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(summary="Get a comparison with its totals", responses={200: forms.Report})
    def retrieve(self, request: Request, pk: str) -> Response:
        comparison = self.get_object()
        totals = forms.Totals(selectors.summary(comparison)).data
        return Response({**self.get_serializer(comparison).data, "totals": totals})

    @extend_schema(
        summary="Read a comparison's report, input by input",
        parameters=[forms.PageQuery],
        responses={200: forms.ReportPage},
        filters=False,
    )
    @action(detail=True, pagination_class=None)
    def report(self, request: Request, pk: str) -> Response:
        asked = forms.PageQuery.read(request.query_params)
        comparison = self.get_object()
        found = list(selectors.items(comparison, after=asked["after"], count=asked["count"]))
        more = bool(found) and found[-1]["number"] < len(comparison.input_set.items)
        return Response(forms.ReportPage({"next": found[-1]["number"] if more else None, "results": found}).data)

    @extend_schema(
        summary="Read a comparison's report as CSV",
        responses={(200, "text/csv"): OpenApiTypes.STR},
        filters=False,
    )
    @action(detail=True, pagination_class=None)
    def csv(self, request: Request, pk: str) -> HttpResponse:
        QueryForm.read(request.query_params)
        comparison = self.get_object()
        rows = selectors.items(comparison, count=len(comparison.input_set.items))
        return HttpResponse(
            "".join(lines(rows)),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="comparison-{comparison.pk}.csv"'},
        )

    @extend_schema(summary="Delete a comparison; its tasks stay, and none are added", responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        self.get_object().delete()
        return Response(status=status.HTTP_204_NO_CONTENT)
