"""A list of the console: one page of it by key, with links to the pages around it."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ORDER_VAR
from django.core.paginator import Paginator
from django.db.models import DateTimeField, QuerySet
from django.http import HttpRequest
from unfold.views import ChangeList

from staff.lists import keyset
from staff.lists.indexed import leading_columns
from staff.lists.sizes import Size, size_of

AFTER, BEFORE = "after", "before"
"""Parameters of an address: the page that begins behind a cursor, and the one that ends before it."""
SELECTED_AT_MOST = 1_000
"""Rows that one action is given at most."""


class KeysetList(ChangeList):
    """Django's change list, without its page numbers: nothing is skipped by OFFSET and nothing large is counted."""

    size: Size
    first_url = previous_url = next_url = ""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        """All rows of the list in its order. Cursors are no filters, and no link but those between pages keeps them."""
        for name in (AFTER, BEFORE):
            self.params.pop(name, None)
            self.filter_params.pop(name, None)
        self._drop_orders_without_index()
        return super().get_queryset(request, exclude_parameters)

    def get_results(self, request: HttpRequest) -> None:
        """The page that the request asks for."""
        rows, self.terms = keyset.ordered(
            self.queryset.defer(*self.model_admin.list_defer), self.queryset.query.order_by
        )
        page = self._page(rows, after=request.GET.get(AFTER, ""), before=request.GET.get(BEFORE, ""))
        alone = not (self.previous_url or self.next_url)
        self.size = Size(len(page)) if alone else size_of(self.queryset)
        self.result_list = page
        self.result_count = self.full_result_count = self.size.number
        self.show_full_result_count = False
        self.show_admin_actions = True
        self.can_show_all = False
        self.multi_page = not alone
        self.paginator = Paginator(page, self.list_per_page)  # for templates that ask it for its kind

    @property
    def may_select_all(self) -> bool:
        """Whether an action may be given all rows at once."""
        return self.size.is_exact and self.size.number <= SELECTED_AT_MOST

    @property
    def filter_names(self) -> set[str]:
        """Parameters that the filters' own inputs carry."""
        return {str(name) for spec in self.filter_specs for name in spec.expected_parameters()}

    @property
    def is_by_time(self) -> bool:
        """Whether the newest come first, so that pages are older and newer."""
        return self.terms[0].descending and isinstance(self.terms[0].field, DateTimeField)

    def _page(self, rows: QuerySet[Any], *, after: str, before: str) -> list[Any]:
        size = self.list_per_page
        if before:
            turned = keyset.turned(self.terms)
            back = rows.filter(keyset.beyond(turned, self._place(before)))
            page = list(back.order_by(*(term.order for term in turned))[: size + 1])
            if len(page) >= size:  # else it is less than the first page: show that one
                self._link(page[:size][::-1], previous=len(page) > size, following=True)
                return page[:size][::-1]
            after = ""
        if after:
            rows = rows.filter(keyset.beyond(self.terms, self._place(after)))
        page = list(rows[: size + 1])
        self._link(page[:size], previous=bool(after), following=len(page) > size)
        return page[:size]

    def _link(self, page: list[Any], *, previous: bool, following: bool) -> None:
        if previous:
            self.first_url = self.get_query_string()
            self.previous_url = self._url(BEFORE, page[0]) if page else self.first_url
        if following:
            self.next_url = self._url(AFTER, page[-1])

    def _url(self, name: str, row: Any) -> str:
        return self.get_query_string({name: keyset.cursor_of(self.terms, row)})

    def _place(self, cursor: str) -> list[Any]:
        try:
            return keyset.place_of(self.terms, cursor)
        except keyset.BadCursor as bad:
            raise IncorrectLookupParameters(str(bad)) from bad

    def _drop_orders_without_index(self) -> None:
        """An order typed by hand is held to what the headers offer."""
        if self.sortable_by is None or ORDER_VAR not in self.params:
            return
        columns = self.list_display
        kept = [
            part
            for part in str(self.params[ORDER_VAR]).split(".")
            if (number := part.lstrip("-")).isdecimal()
            and int(number) < len(columns)
            and columns[int(number)] in self.sortable_by
        ]
        self.params[ORDER_VAR] = ".".join(kept)
        if not kept:
            del self.params[ORDER_VAR]


def sortable(model_admin: Any, columns: Any) -> list[Any]:
    """Those of a list's columns by which an index can sort it."""
    leading = leading_columns(model_admin.model)
    names = {field.name for field in model_admin.model._meta.fields if not field.is_relation}
    found = []
    for column in columns:
        attribute = getattr(model_admin, column, None) if isinstance(column, str) else column
        by = column if column in names else getattr(attribute, "admin_order_field", None)
        if isinstance(by, str) and by.lstrip("-") in leading & names:
            found.append(column)
    return found
