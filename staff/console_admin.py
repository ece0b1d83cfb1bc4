"""The base of every list and form in the console."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode

from staff.access import access_of
from staff.lists.admin import ListAdmin
from staff.own_rows import OwnRows
from staff.widgets import ObjectSelect


class ConsoleAdmin(OwnRows, ListAdmin):
    """A model's pages.

    `tenant_lookup` leads from a row to its tenant (`tenant`, `agent__tenant`, `pk` of a tenant itself); None: the rows are
    nobody's, and a tenant administrator sees none of them.
    """

    def log_addition(self, request: HttpRequest, object: Any, message: Any) -> Any:  # noqa: A002 - Django's name
        """The audit log has it, by a trigger; Django's own would be a second one that can be changed."""

    log_change = log_addition

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """The same."""

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if "widget" not in kwargs and db_field.name in self.get_autocomplete_fields(request):
            kwargs["widget"] = ObjectSelect(db_field, self.admin_site, using=kwargs.get("using"))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponseBase:
        """What the audit log knows of it."""
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        if not self.has_view_or_change_permission(request, row):
            raise PermissionDenied
        of = {"object_kind": self.model._meta.label_lower, "object_id": unquote(object_id)}
        return HttpResponseRedirect(reverse("admin:audit_entry_changelist") + "?" + urlencode(of))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = self.all_rows()
        ordering = self.get_ordering(request)
        if ordering:
            rows = rows.order_by(*ordering)
        access = access_of(request.user)
        if access is None:
            return rows.none()
        if access.sees_all_tenants:
            return rows
        return access.rows(rows, tenant=self.tenant_lookup) if self.tenant_lookup else rows.none()
