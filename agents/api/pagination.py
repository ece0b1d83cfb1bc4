"""Cursor pagination: newest first, stable while rows arrive."""

from __future__ import annotations

from rest_framework.pagination import CursorPagination


class NewestFirst(CursorPagination):
    """`?cursor=` from the previous answer's `next`; `?page_size=` up to 200."""

    ordering = ("-created_at", "-id")
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
