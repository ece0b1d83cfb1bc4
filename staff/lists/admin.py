"""The base of every list in the console: what it takes from the declarations of Django's admin, and how it reads them."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin import ShowFacets
from django.contrib.admin.views.main import ERROR_FLAG
from django.core.exceptions import FieldDoesNotExist
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display

from staff.access import Access, access_of
from staff.lists import export, saved, views
from staff.lists.change_list import SELECTED_AT_MOST, KeysetList, sortable
from staff.lists.columns import end_of, way
from staff.lists.filters import fitting
from staff.lists.indexed import exactly
from staff.lists.sizes import more_than


class ListAdmin(ModelAdmin):
    """A model's list. `is_large`: it may come to hold millions of rows, so it is sorted by indexes alone, and a search finds what
    is exactly so in one of `search_fields`, each of which an index must answer. `list_defer`: fields that may be long, and that no
    column shows; the list does not read them. `export_columns`: what a file of the list has, where that is not the columns that
    people look at. `list_empty`: what a list without rows says of how they come.

    Filters that are named by their field become what holds for many rows: an object is found by typing, a time is a span.
    """

    tenant_lookup: ClassVar[str | None] = None
    list_defer: ClassVar[tuple[str, ...]] = ()
    list_empty: ClassVar[str] = ""
    export_columns: ClassVar[tuple[str, ...]] = ()
    is_large: ClassVar[bool] = False
    list_per_page = 50
    list_filter_submit = True
    show_full_result_count = False
    show_facets = ShowFacets.NEVER

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return KeysetList

    def get_sortable_by(self, request: HttpRequest) -> Any:
        declared = super().get_sortable_by(request)
        columns = self.get_list_display(request)
        if not self.is_large:
            return None if declared == columns else declared
        return [column for column in sortable(self, columns) if column in declared]

    def get_list_filter(self, request: HttpRequest) -> Any:
        access = access_of(request.user)
        own = {self.tenant_lookup} if access is not None and not access.sees_all_tenants else set()
        return [
            fitting(self.model, given, admin_site=self.admin_site, is_large=self.is_large)
            for given in super().get_list_filter(request)
            if not (isinstance(given, str) and given in own)  # all of its rows are of the viewer's tenant
        ]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """As Django has it, but of no column that this list hides: `?secret__startswith=a` would tell of it, letter by letter."""
        name = lookup.partition("__")[0]
        try:
            field = self.opts.get_field(name)
        except FieldDoesNotExist:
            return super().lookup_allowed(lookup, value, request)  # a filter's own parameter
        if not (field.is_relation or getattr(field, "primary_key", False) or name in self._asked_for(request)):
            return False
        return super().lookup_allowed(lookup, value, request)

    def _asked_for(self, request: HttpRequest) -> set[str]:
        """Fields that the list shows, filters by or searches in."""
        shown = self.get_list_display(request)
        sorted_by = [getattr(getattr(self, str(one), None), "admin_order_field", None) for one in shown]
        filters = [
            one[0] if isinstance(one, (tuple, list)) else getattr(one, "parameter_name", one)
            for one in self.get_list_filter(request)
        ]
        named = [*shown, *sorted_by, *self.get_search_fields(request), *filters, self.date_hierarchy]
        return {one.lstrip("^=@-").partition("__")[0] for one in named if isinstance(one, str)}

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term or not self.is_large:
            return super().get_search_results(request, queryset, term)
        return exactly(queryset, self.get_search_fields(request), term), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if ERROR_FLAG in request.GET:
            messages.error(
                request, "The address named a filter, an order or a page that there is not: this is the whole list."
            )
        access = access_of(request.user)
        kept = {} if access is None else self._kept(request, access)
        return super().changelist_view(request, {**kept, **(extra_context or {})})

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        across = request.POST.get("select_across", "0") not in ("", "0")
        if across and more_than(queryset, SELECTED_AT_MOST):
            self.message_user(
                request,
                f"An action takes {SELECTED_AT_MOST:,} rows at most: narrow the list by a filter. Nothing was done.",
                messages.ERROR,
            )
            return HttpResponseRedirect(request.get_full_path())
        return super().response_action(request, queryset)

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        own = [
            path("export/", self._view(views.export_list), name=f"{name}_export"),
            path("saved-filters/", self._view(views.save_filter), name=f"{name}_save_filter"),
            path("saved-filters/<int:pk>/delete/", self._view(views.drop_filter), name=f"{name}_drop_filter"),
        ]
        return [*own, *super().get_urls()]

    @display(description="id", ordering="id")
    def shown_id(self, row: Any) -> SafeString:
        """Its end; the whole is a title, and stands on the row's own page."""
        return end_of(row.pk)

    @display(description="form")
    def form_page(self, row: Any) -> SafeString:
        """The way to the row's form, in lists whose first column leads to another page."""
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
        return way(reverse(name, args=[row.pk]), "all fields")

    def list_url(self) -> str:
        """Where the list is."""
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")

    def _view(self, view: Any) -> Any:
        return self.admin_site.admin_view(partial(view, model_admin=self))

    def _kept(self, request: HttpRequest, access: Access) -> dict[str, Any]:
        """What the list's own bar shows."""
        query = saved.lasting(request.GET.urlencode())
        filters = list(saved.visible(user=request.user, access=access, list_label=self.opts.label_lower))
        return {
            "saved_filters": [(one, one.query == query, one.owner_id == request.user.pk) for one in filters],
            "list_query": query,
            "list_urls": {
                "export": f"{self.list_url()}export/?{query}",
                "save": f"{self.list_url()}saved-filters/",
            },
            "export_rows": f"{export.ROWS_AT_MOST:,}",
        }
