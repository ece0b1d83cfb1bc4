"""Cursor pagination by key: the newest first. A cursor names the last row that was seen, so rows that come or go move nothing."""

from __future__ import annotations

import base64
import binascii
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
from django.db.models import Q, QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

from agents.problems import Problem, bad_field

PAGE_SIZE = 50
PAGE_SIZE_MAX = 200


P = TypeVar("P")


class Moment(msgspec.Struct, frozen=True, array_like=True):
    """The place of a row that is ordered by when it was made; `id` settles rows of the same moment."""

    created_at: datetime
    id: uuid.UUID


Number = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
"""The place of a row that has a number among its like."""


def _cursor(place: Moment | int) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def _place(cursor: str, kind: type[P]) -> P:
    """The place that a cursor names, or the problem that says it is none."""
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=kind)
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        raise _no_cursor() from None


def _no_cursor() -> Problem:
    return bad_field("cursor", "take it from `next` of the previous page")


def page_size_of(value: str | None) -> int:
    """How many rows a page has; the default for None."""
    if value is None:
        return PAGE_SIZE
    if not (value.isascii() and value.isdigit() and len(value) < 9 and 1 <= int(value) <= PAGE_SIZE_MAX):
        raise bad_field("page_size", f"must be a whole number between 1 and {PAGE_SIZE_MAX}")
    return int(value)


class CursorPages(BasePagination, ABC):
    """`?cursor=` from the previous answer's `next`; `?page_size=` up to 200."""

    parameters = ("cursor", "page_size")

    @abstractmethod
    def ordered(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """In an order that no two rows share a place in."""

    @abstractmethod
    def behind(self, rows: QuerySet[Any], cursor: str) -> QuerySet[Any]:
        """The rows that come after the place that the cursor names."""

    @abstractmethod
    def cursor_of(self, row: Any) -> str:
        """The row's place."""

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any] | None:
        """One page, and one row more to know whether another page follows."""
        size = page_size_of(request.query_params.get("page_size"))
        if cursor := request.query_params.get("cursor"):
            queryset = self.behind(queryset, cursor)
        rows = list(self.ordered(queryset)[: size + 1])
        self._next = _link(request, self.cursor_of(rows[size - 1])) if len(rows) > size else None
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


class NewestFirst(CursorPages):
    """By `created_at` and `id`."""

    def ordered(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.order_by("-created_at", "-id")

    def behind(self, rows: QuerySet[Any], cursor: str) -> QuerySet[Any]:
        place = _place(cursor, Moment)
        if place.created_at.tzinfo is None:
            raise _no_cursor()
        # The last condition is there for the index; the first settles rows of the same moment.
        return rows.filter(Q(created_at__lt=place.created_at) | Q(id__lt=place.id), created_at__lte=place.created_at)

    def cursor_of(self, row: Any) -> str:
        return _cursor(Moment(row.created_at, row.pk))


class HighestNumberFirst(CursorPages):
    """By `number`, for rows of one object that are numbered as they come: its newest are the first, too."""

    def ordered(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.order_by("-number")

    def behind(self, rows: QuerySet[Any], cursor: str) -> QuerySet[Any]:
        return rows.filter(number__lt=_place(cursor, Number))

    def cursor_of(self, row: Any) -> str:
        return _cursor(row.number)


def _link(request: Request, cursor: str) -> str:
    return replace_query_param(request.build_absolute_uri(), "cursor", cursor)
