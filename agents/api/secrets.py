"""Secrets of the tenant by REST: which there are, set, deleted. No answer holds a value."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from agents.api import secret_forms as forms
from agents.api.views import Listed, tenant_of
from agents.problems import bad_field
from tenants.models import Secret
from tenants.secrets import BadSecret, put_secret


@extend_schema_view(list=extend_schema(summary="List secrets: their names and dates"))
class SecretViewSet(Listed[Secret]):
    """What tools authenticate with; headers and URLs of tools refer to it as `${secret:NAME}`."""

    serializer_class = forms.SecretSerializer
    queryset = Secret.objects.none()
    lookup_field = "name"
    scope_area = "secrets"
    filters = forms.SecretFilter

    def get_queryset(self) -> QuerySet[Secret]:
        return Secret.objects.for_tenant(tenant_of(self.request))

    def filtered(self, rows: QuerySet[Secret], asked: dict[str, Any]) -> QuerySet[Secret]:
        return rows

    @extend_schema(
        summary="Set a secret, new or again",
        request=forms.SecretInput,
        responses={200: forms.SecretSerializer, 201: forms.SecretSerializer},
    )
    def update(self, request: Request, name: str) -> Response:
        form = forms.SecretInput(data=request.data)
        form.is_valid(raise_exception=True)
        try:
            secret, is_new = put_secret(tenant=tenant_of(request), name=name, value=form.validated_data["value"])
        except BadSecret as error:
            raise bad_field(error.field, error.message) from None
        return Response(
            self.get_serializer(secret).data, status=status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
        )

    @extend_schema(summary="Delete a secret", responses={204: None})
    def destroy(self, request: Request, name: str) -> Response:
        self.get_object().delete()
        return Response(status=status.HTTP_204_NO_CONTENT)
