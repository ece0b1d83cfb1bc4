"""The base of every list and form in the console."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpRequest

from staff.access import access_of
from staff.own_rows import OwnRows


class ConsoleAdmin(OwnRows):
    """A model's pages. `tenant_lookup` leads from a row to its tenant (`tenant`, `agent__tenant`, `pk` of a tenant itself);
    None: the rows are nobody's, and a tenant administrator sees none of them.
    """

    tenant_lookup: ClassVar[str | None] = None

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
