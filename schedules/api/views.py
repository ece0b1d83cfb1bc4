"""Schedules by REST."""

from __future__ import annotations

from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents.api.views import Listed, key_of, tenant_of
from schedules import services
from schedules.api import serializers as forms
from schedules.models import Schedule
from schedules.timing import coming


@extend_schema_view(
    list=extend_schema(summary="List schedules", parameters=[forms.ScheduleFilter]),
    retrieve=extend_schema(summary="Get a schedule"),
)
class ScheduleViewSet(mixins.RetrieveModelMixin, Listed[Schedule]):
    """Schedules of the tenant."""

    serializer_class = forms.ScheduleSerializer
    queryset = Schedule.objects.none()
    scope_area = "schedules"
    filters = forms.ScheduleFilter

    def get_queryset(self) -> QuerySet[Schedule]:
        return Schedule.objects.for_tenant(tenant_of(self.request)).select_related("agent", "tenant")

    def filtered(self, rows: QuerySet[Schedule], asked: dict[str, Any]) -> QuerySet[Schedule]:
        return rows.filter(agent__slug=asked["agent"]) if "agent" in asked else rows

    @extend_schema(summary="Create a schedule", request=forms.ScheduleInput, responses={201: forms.ScheduleSerializer})
    def create(self, request: Request) -> Response:
        said = forms.ScheduleInput.read(request.data)
        schedule = services.create_schedule(
            tenant=tenant_of(request), key=key_of(request), said=said, now=timezone.now()
        )
        return Response(self.get_serializer(schedule).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        summary="Change a schedule, or enable it again",
        request=forms.ScheduleChange,
        responses={200: forms.ScheduleSerializer},
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        said = forms.ScheduleChange.read(request.data)
        schedule = services.change_schedule(
            schedule=self.get_object(), key=key_of(request), said=said, now=timezone.now()
        )
        return Response(self.get_serializer(schedule).data)

    @extend_schema(summary="Delete a schedule; its tasks stay", responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        self.get_object().delete()
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        summary="Foretell when a schedule fires next",
        parameters=[forms.NextQuery],
        responses={200: forms.NextFirings},
        filters=False,
    )
    @action(detail=True, pagination_class=None)
    def next(self, request: Request, pk: str) -> Response:
        count = forms.NextQuery.read(request.query_params)["count"]
        schedule = self.get_object()
        if schedule.next_at is None:
            return Response({"next": []})
        zone = ZoneInfo(schedule.time_zone)
        later = islice(coming(schedule.cron, schedule.time_zone, after=schedule.next_at), count - 1)
        return Response({"next": [moment.astimezone(zone).isoformat() for moment in (schedule.next_at, *later)]})

    @extend_schema(
        summary="List what came of a schedule's firings, the newest first",
        responses={200: forms.FiringSerializer(many=True)},
    )
    @action(detail=True)
    def firings(self, request: Request, pk: str) -> Response:
        return self.page_of(self.get_object().firings.all(), forms.FiringSerializer)
