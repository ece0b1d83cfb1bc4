"""Collections and documents by REST: parse, one service call, format. Every query is the key's tenant's. Search is a hot route."""

from __future__ import annotations

from typing import Any, cast

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from agents.api.authentication import KeyUser
from agents.api.parsing import StrictJSONParser
from agents.api.views import Listed, tenant_of
from knowledge import services
from knowledge.api import serializers as forms
from knowledge.api.parsing import MarkdownParser, PdfParser, TextParser
from knowledge.models import Collection, Document


def _parsed(form: Any) -> dict[str, Any]:
    form.is_valid(raise_exception=True)
    return cast("dict[str, Any]", form.validated_data)


@extend_schema_view(
    list=extend_schema(summary="List collections"),
    retrieve=extend_schema(summary="Get a collection"),
)
class CollectionViewSet(mixins.RetrieveModelMixin, Listed[Collection]):
    """Collections of the tenant."""

    serializer_class = forms.CollectionSerializer
    queryset = Collection.objects.none()
    lookup_field = "slug"
    scope_area = "knowledge"
    filters = forms.CollectionFilter

    def get_queryset(self) -> QuerySet[Collection]:
        return Collection.objects.for_tenant(tenant_of(self.request)).select_related("pool")

    def filtered(self, rows: QuerySet[Collection], asked: dict[str, Any]) -> QuerySet[Collection]:
        return rows

    @extend_schema(
        summary="Create a collection", request=forms.CollectionInput, responses={201: forms.CollectionSerializer}
    )
    def create(self, request: Request) -> Response:
        data = _parsed(forms.CollectionInput(data=request.data))
        collection = services.create_collection(tenant=tenant_of(request), **{"name": data["slug"], **data})
        return Response(self.get_serializer(collection).data, status=status.HTTP_201_CREATED)

    @extend_schema(summary="Delete a collection with its documents", responses={204: None})
    def destroy(self, request: Request, slug: str) -> Response:
        services.delete_collection(collection=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)


class DocumentsOfCollection(Listed[Document]):
    """A collection's documents: listed, and uploaded as JSON or as a text with its title in the query string."""

    serializer_class = forms.DocumentSerializer
    queryset = Document.objects.none()
    scope_area = "knowledge"
    filters = forms.DocumentFilter
    parser_classes = (StrictJSONParser, TextParser, MarkdownParser, PdfParser)

    def _collection(self) -> Collection:
        mine = Collection.objects.for_tenant(tenant_of(self.request))
        return get_object_or_404(mine, slug=self.kwargs["slug"])

    def get_queryset(self) -> QuerySet[Document]:
        rows = Document.objects.for_tenant(tenant_of(self.request)).filter(collection=self._collection())
        return rows.select_related("collection").defer("text")

    def filtered(self, rows: QuerySet[Document], asked: dict[str, Any]) -> QuerySet[Document]:
        if asked.get("state"):
            rows = rows.filter(state__in=asked["state"])
        return rows.filter(title=asked["title"]) if "title" in asked else rows

    @extend_schema(
        summary="List a collection's documents",
        parameters=[OpenApiParameter("slug", str, OpenApiParameter.PATH), forms.DocumentFilter],
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(
        summary="Upload a document; one of the same title is replaced",
        request={
            "application/json": forms.DocumentInput,
            "text/plain": {"type": "string"},
            "text/markdown": {"type": "string"},
        },
        parameters=[
            OpenApiParameter("slug", str, OpenApiParameter.PATH),
            OpenApiParameter("title", str, description="Of a text that is the body; in JSON it stands in the body."),
        ],
        responses={200: forms.DocumentSerializer, 201: forms.DocumentSerializer},
    )
    def create(self, request: Request, slug: str) -> Response:
        collection = self._collection()
        said: Any = request.data
        if _is_text(request):
            said = {**said, **_parsed(forms.UploadQuery(data=request.query_params))}
        data = _parsed(forms.DocumentInput(data=said))
        user = cast("KeyUser", request.user)
        document, created = services.put_document(collection=collection, api_key=user.key, **data)
        status_ = status.HTTP_201_CREATED if created else status.HTTP_200_OK
        location = {"Location": f"/api/v1/documents/{document.pk}"}
        return Response(self.get_serializer(document).data, status=status_, headers=location)


def _is_text(request: Request) -> bool:
    """Whether the body was the text itself."""
    return (request.content_type or "").partition(";")[0].strip() in (TextParser.media_type, MarkdownParser.media_type)


@extend_schema_view(
    retrieve=extend_schema(summary="Get a document with its text", responses={200: forms.WholeDocumentSerializer}),
)
class DocumentViewSet(mixins.RetrieveModelMixin, GenericViewSet[Document]):
    """Documents of the tenant, whatever their collection."""

    serializer_class = forms.WholeDocumentSerializer
    queryset = Document.objects.none()
    scope_area = "knowledge"

    def get_queryset(self) -> QuerySet[Document]:
        return Document.objects.for_tenant(tenant_of(self.request)).select_related("collection")

    @extend_schema(summary="Delete a document", responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        services.delete_document(document=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)
