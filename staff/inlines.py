"""Rows of an object's history on its page: looked at, and never more of them than a page can show."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from unfold.admin import TabularInline
from unfold.forms import PaginationInlineFormSet

SHOWN = 50


class FirstRows(PaginationInlineFormSet):
    """The first `SHOWN` of an object's rows."""

    def get_queryset(self) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset()
        if not rows.query.is_sliced:
            self._queryset = rows = rows[:SHOWN]  # which Django asks for many times
        return rows


class HistoryInline(TabularInline):
    """The first rows by its `ordering`; a link to the whole list (`link_to_all`) belongs on the page."""

    extra = 0
    can_delete = False
    formset = FirstRows

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = self.model._default_manager.all().across_tenants()
        return rows.order_by(*ordering) if (ordering := self.get_ordering(request)) else rows


def link_to_all(model: Any, words: str, **narrowed: Any) -> SafeString:
    """The way to a model's list that is narrowed to these values."""
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return format_html('<a href="{}?{}">{}</a>', url, urlencode(narrowed), words)
