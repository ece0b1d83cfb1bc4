"""Cursor pagination by key: newest first. A cursor names the last row that was seen, so rows that come or go move nothing."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from django.db.models import Model, Q
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

from agents.problems import bad_field

PAGE_SIZE = 50
PAGE_SIZE_MAX = 200


class Place(msgspec.Struct, frozen=True, array_like=True):
    """A row's place in the order."""

    created_at: datetime
    id: uuid.UUID

    def encoded(self) -> str:
        """As a cursor."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")


def place_of(cursor: str) -> Place:
    """The place that a cursor names, or the problem that says it is none."""
    try:
        place = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=Place)
        if place.created_at.tzinfo is None:
            raise ValueError("no time zone")
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        raise bad_field("cursor", "take it from `next` of the previous page") from None
    return place


def page_size_of(value: str | None) -> int:
    """How many rows a page has; the default for None."""
    if value is None:
        return PAGE_SIZE
    if not (value.isascii() and value.isdigit() and len(value) < 9 and 1 <= int(value) <= PAGE_SIZE_MAX):
        raise bad_field("page_size", f"must be a whole number between 1 and {PAGE_SIZE_MAX}")
    return int(value)


class NewestFirst(BasePagination):
    """`?cursor=` from the previous answer's `next`; `?page_size=` up to 200. Rows need `created_at` and `id`."""

    parameters = ("cursor", "page_size")

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any] | None:
        """One page, and one row more to know whether another page follows."""
        size = page_size_of(request.query_params.get("page_size"))
        if cursor := request.query_params.get("cursor"):
            place = place_of(cursor)
            # The first condition is there for the index; the second settles rows of the same moment.
            queryset = queryset.filter(
                Q(created_at__lt=place.created_at) | Q(id__lt=place.id), created_at__lte=place.created_at
            )
        rows = list(queryset.order_by("-created_at", "-id")[: size + 1])
        self._next = _link(request, rows[size - 1]) if len(rows) > size else None
        return rows[:size]

    def get_paginated_response(self, data: Sequence[Any]) -> Response:
        """`next` is the address of the following page, null on the last one."""
        return Response({"next": self._next, "results": data})

    def get_paginated_response_schema(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """The form of a page."""
        return {
            "type": "object",
            "required": ["next", "results"],
            "properties": {"next": {"type": ["string", "null"], "format": "uri"}, "results": schema},
        }

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        """The query parameters."""
        size = {"type": "integer", "minimum": 1, "maximum": PAGE_SIZE_MAX, "default": PAGE_SIZE}
        return [
            {"name": "cursor", "in": "query", "description": "From `next`.", "schema": {"type": "string"}},
            {"name": "page_size", "in": "query", "schema": size},
        ]


def _link(request: Request, last: Model) -> str:
    place = Place(last.created_at, last.pk)  # type: ignore[attr-defined]
    return replace_query_param(request.build_absolute_uri(), "cursor", place.encoded())
