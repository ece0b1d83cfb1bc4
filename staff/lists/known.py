"""A filter that offers the values which a column of a long list has, without reading the list.

Its values are found by a loose index scan (https://wiki.postgresql.org/wiki/Loose_indexscan): one step down an index for each,
since SELECT DISTINCT reads every row. Who sees some of the rows only is offered what the newest of these have.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter

from staff.access import access_of

VALUES_AT_MOST = 500
NEWEST = 1_000


class KnownFilter(DropdownFilter):
    """By a value of `parameter_name`, a column of text that leads an index."""

    parameter_name: ClassVar[str]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        access = access_of(request.user)
        if access is not None and access.sees_all_tenants:
            found = values_of(model_admin.model, self.parameter_name)
        else:
            newest = model_admin.get_queryset(request).values_list(self.parameter_name, flat=True)[:NEWEST]
            found = sorted(set(newest))
        return [(value, value) for value in found if value and self.is_offered(request, value)]

    def is_offered(self, request: HttpRequest, value: str) -> bool:
        """Whether this viewer may know that there are such rows."""
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        return queryset.filter(**{self.parameter_name: chosen}) if chosen else queryset


def values_of(model: Any, column: str) -> list[str]:
    """The column's values in order, `VALUES_AT_MOST` of them at most; each costs one look into its index."""
    table, name = (connection.ops.quote_name(one) for one in (model._meta.db_table, column))
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH RECURSIVE known (value) AS ("
            f"(SELECT {name} FROM {table} ORDER BY {name} LIMIT 1) UNION ALL "
            f"SELECT (SELECT {name} FROM {table} WHERE {name} > value ORDER BY {name} LIMIT 1) FROM known WHERE value IS NOT NULL) "
            f"SELECT value FROM known WHERE value IS NOT NULL LIMIT %s",
            [VALUES_AT_MOST],
        )
        return [value for (value,) in cursor.fetchall()]
