"""Saved filters: who sees which, and how one is kept and dropped."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django.http import QueryDict

from staff.access import Access
from staff.list_models import SavedFilter

NAME_MAX = 60
QUERY_MAX = 2000
OF_A_LIST = 200
"""Saved filters that are shown above one list."""
NOT_KEPT = ("after", "before", "p", "e", "all", "_popup", "_to_field")
"""Parameters of an address that say where in the list one is, not which list it is."""


class CannotSave(ValueError):
    """The sentence says what to change."""


def visible(*, user: Any, access: Access, list_label: str) -> QuerySet[SavedFilter]:
    """One's own, and those that were shared: operators and viewers see all of these, an administrator those of their tenant's.

    A name or a search of somebody who sees all tenants may tell of another one.
    """
    shared = Q(is_shared=True)
    if not access.sees_all_tenants:
        shared &= Q(owner__staff_role__tenant=access.tenant_id)
    rows = SavedFilter.objects.filter(Q(owner=user) | shared, list_label=list_label)
    return rows.select_related("owner")[:OF_A_LIST]


def save(*, user: Any, list_label: str, name: str, query: str, is_shared: bool) -> SavedFilter:
    """Keep it, in the place of one's own of the same name.

    Raises:
        CannotSave: The name is empty or too long, or the filter is.
    """
    name = " ".join(name.split())
    if not name or len(name) > NAME_MAX:
        raise CannotSave(f"Name: give the filter one of 1 to {NAME_MAX} characters.")
    kept = lasting(query)
    if "%00" in kept:
        raise CannotSave("This filter holds a NUL character, which no text here can have: take it out.")
    if len(kept) > QUERY_MAX:
        raise CannotSave(
            f"This filter is longer than the {QUERY_MAX} characters that can be kept: leave something out."
        )
    saved, _ = SavedFilter.objects.update_or_create(
        owner=user, list_label=list_label, name=name, defaults={"query": kept, "is_shared": is_shared}
    )
    return saved


def drop(*, user: Any, list_label: str, pk: int) -> SavedFilter | None:
    """Forget one's own; None if there is none of that key."""
    saved = SavedFilter.objects.filter(owner=user, list_label=list_label, pk=pk).first()
    if saved is not None:
        SavedFilter.objects.filter(pk=saved.pk).delete()
    return saved


def lasting(query: str) -> str:
    """What of an address is kept: filter, search and order."""
    given = QueryDict(query, mutable=True)
    for name in NOT_KEPT:
        given.pop(name, None)
    return given.urlencode()
