"""The audit log in the console."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display

from audit.models import Entry
from console.audit_rows import is_of_accounts, one_line_each, parts_of, whole_of, without_accounts
from console.changes import in_words, members
from staff.access import access_of
from staff.lists.columns import end_of, way
from staff.lists.known import KnownFilter
from tenants.admin import Facts

PARTS_SHOWN = 100


class OfWhatIsSeen(KnownFilter):
    """By what this viewer sees entries of."""

    def is_offered(self, request: HttpRequest, value: str) -> bool:
        return _sees_accounts(request) or not is_of_accounts(value)


class Actions(OfWhatIsSeen):
    """By what was done."""

    title = parameter_name = "action"


class Kinds(OfWhatIsSeen):
    """By what it was done to."""

    title, parameter_name = "object kind", "object_kind"


class Rows(DropdownFilter):
    """Whether rows' changes stand under their acts (`console.audit_rows`)."""

    title, parameter_name = "changes of rows", "rows"
    all_option = ("", "Under their act")

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("all", "Each by itself, too")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset


@admin.register(Entry)
class EntryAdmin(Facts):
    """Who did what to which object; looked at only, by the database's own word."""

    tenant_lookup = "tenant_id"
    is_large = True
    list_display = ("at", "actor", "action", "object", "changes", "address")
    list_filter = ("actor_kind", Actions, Kinds, "at", Rows)
    search_fields = ("actor", "object_id", "object_name", "action")
    search_help_text = "actor, action, or an object's id or name"
    fields = (
        "at",
        "actor_kind",
        "actor",
        "address",
        "action",
        "object",
        "object_kind",
        "object_id",
        "tenant_id",
        "members",
        "of_act",
    )
    readonly_fields = ("object", "members", "of_act")

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """One object's history is asked for by its id."""
        return lookup in {"object_id", "object_kind", "actor", "tenant_id"} or super().lookup_allowed(
            lookup, value, request
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        if not _sees_accounts(request):
            rows = without_accounts(rows)
        match = request.resolver_match
        is_list = match is not None and (match.url_name or "").endswith(("_changelist", "_export"))
        return one_line_each(rows, request.GET) if is_list else rows

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        return _for(request, self.list_display)

    def get_fields(self, request: HttpRequest, obj: Entry | None = None) -> tuple[str, ...]:
        return _for(request, self.fields)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """With what stands around it, as this viewer may see it."""
        entry: Any = super().get_object(request, object_id, from_field)
        if entry is not None:
            seen = self.get_queryset(request)
            entry.parts, entry.whole = list(parts_of(seen, entry)[:PARTS_SHOWN]), whole_of(seen, entry)
        return entry

    @display(description="object")
    def object(self, entry: Entry) -> str:
        """What it was called then, and the way to it where it has a page."""
        if not entry.object_kind:
            return ""
        is_named = entry.object_name != entry.object_id
        name = entry.object_name if is_named else end_of(entry.object_id)
        try:
            url = reverse(f"admin:{entry.object_kind.replace('.', '_')}_change", args=[entry.object_id])
        except NoReverseMatch:
            return name
        return way(url, format_html("{} {}", entry.object_kind.split(".")[-1], name))

    @display(description="what changed")
    def changes(self, entry: Entry) -> str:
        """In one line."""
        return in_words(entry.before, entry.after)

    @display(description="before and after")
    def members(self, entry: Entry) -> str:
        """Member by member."""
        return render_to_string("console/audit/members.html", {"members": members(entry.before, entry.after)})

    @display(description="rows that it changed")
    def of_act(self, entry: Any) -> str:
        """Of an act the changes of rows; of such a change its act."""
        told = [(part, in_words(part.before, part.after)) for part in entry.parts]
        return render_to_string("console/audit/parts.html", {"parts": told, "whole": entry.whole})


def _sees_accounts(request: HttpRequest) -> bool:
    access = access_of(request.user)
    return access is not None and access.is_operator


def _for(request: HttpRequest, names: tuple[str, ...]) -> tuple[str, ...]:
    """From where colleagues work is for operators."""
    return names if _sees_accounts(request) else tuple(name for name in names if name != "address")
