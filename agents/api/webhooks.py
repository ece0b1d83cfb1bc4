"""Webhooks of the tenant by REST: endpoints, their secrets' rotation, tests, and what was delivered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, cast

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from agents.api import webhook_forms as forms
from agents.api.pagination import NewestFirst
from agents.api.serializers import Form
from agents.api.views import Listed, tenant_of
from agents.problems import Problem, bad_field
from webhooks import services
from webhooks.models import Delivery, Endpoint


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except services.BadEndpoint as error:
        raise bad_field(error.field, error.message) from None
    except services.TooManyEndpoints as refusal:
        raise Problem(409, "too_many_endpoints", str(refusal)) from None
    except services.EndpointDisabled as refusal:
        raise Problem(409, "endpoint_disabled", str(refusal)) from None
    except services.StillPending as refusal:
        raise Problem(409, "delivery_pending", str(refusal)) from None


def _said(form: Form) -> dict[str, Any]:
    form.is_valid(raise_exception=True)
    return cast("dict[str, Any]", form.validated_data)


def _shown(made: services.NewSecret, code: int) -> Response:
    form = forms.NewEndpointSerializer(made.endpoint, context={"secret": made.secret})
    return Response(form.data, status=code)


@extend_schema_view(
    list=extend_schema(summary="List webhooks", parameters=[forms.EndpointFilter]),
    retrieve=extend_schema(summary="Get a webhook"),
)
class EndpointViewSet(mixins.RetrieveModelMixin, Listed[Endpoint]):
    """Where the tenant is told of events, in the form of the Standard Webhooks specification."""

    serializer_class = forms.EndpointSerializer
    queryset = Endpoint.objects.none()
    scope_area = "webhooks"
    filters = forms.EndpointFilter

    def get_queryset(self) -> QuerySet[Endpoint]:
        return Endpoint.objects.for_tenant(tenant_of(self.request))

    def filtered(self, rows: QuerySet[Endpoint], asked: dict[str, Any]) -> QuerySet[Endpoint]:
        return rows if asked["enabled"] is None else rows.filter(enabled=asked["enabled"])

    @extend_schema(
        summary="Create a webhook; the answer shows its secret, this once",
        request=forms.EndpointInput,
        responses={201: forms.NewEndpointSerializer},
    )
    def create(self, request: Request) -> Response:
        data = _said(forms.EndpointInput(data=request.data))
        with _refusals():
            made = services.create_endpoint(tenant=tenant_of(request), **data)
        return _shown(made, status.HTTP_201_CREATED)

    @extend_schema(summary="Change a webhook", request=forms.EndpointChange, responses={200: forms.EndpointSerializer})
    def partial_update(self, request: Request, pk: str) -> Response:
        data = _said(forms.EndpointChange(data=request.data))
        with _refusals():
            endpoint = services.change_endpoint(endpoint=self.get_object(), changes=data)
        return Response(self.get_serializer(endpoint).data)

    @extend_schema(summary="Delete a webhook, with its deliveries", responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        self.get_object().delete()
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        summary="Give a webhook a new secret; the old one signs beside it for a while",
        request=forms.RotateInput,
        responses={200: forms.NewEndpointSerializer},
    )
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, pk: str) -> Response:
        data = _said(forms.RotateInput(data=request.data))
        overlap = timedelta(seconds=data["overlap_s"])
        with _refusals():
            return _shown(services.rotate_secret(endpoint=self.get_object(), overlap=overlap), status.HTTP_200_OK)

    @extend_schema(summary="Send a test to a webhook", request=None, responses={202: forms.DeliverySerializer})
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str) -> Response:
        with _refusals():
            delivery = services.ping(endpoint=self.get_object())
        return Response(forms.DeliverySerializer(delivery).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(
        summary="List a webhook's deliveries, the newest first",
        parameters=[forms.DeliveryFilter],
        responses={200: forms.DeliverySerializer(many=True)},
    )
    @action(detail=True, pagination_class=NewestFirst)
    def deliveries(self, request: Request, pk: str) -> Response:
        asked = _said(forms.DeliveryFilter(data=request.query_params))
        rows: QuerySet[Any] = self._deliveries().filter(**asked).prefetch_related("attempts")
        page: Any = self.paginate_queryset(rows)
        return self.get_paginated_response(forms.DeliverySerializer(page, many=True).data)

    @extend_schema(
        summary="Deliver once more, under the same id",
        request=None,
        parameters=[OpenApiParameter("delivery", {"type": "string", "format": "uuid"}, OpenApiParameter.PATH)],
        responses={202: forms.DeliverySerializer},
    )
    @action(detail=True, methods=["post"], url_path="deliveries/(?P<delivery>[^/.]+)/replay")
    def replay(self, request: Request, pk: str, delivery: str) -> Response:
        row = get_object_or_404(self._deliveries(), pk=delivery)
        with _refusals():
            again = services.replay(delivery=row)
        return Response(forms.DeliverySerializer(again).data, status=status.HTTP_202_ACCEPTED)

    def _deliveries(self) -> QuerySet[Delivery]:
        return Delivery.objects.for_tenant(tenant_of(self.request)).filter(endpoint=self.get_object())
