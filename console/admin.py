"""The audit log in the console."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from unfold.decorators import display

from audit.models import Entry
from console.changes import in_words, members
from tenants.admin import Facts


@admin.register(Entry)
class EntryAdmin(Facts):
    """Who did what to which object; looked at only, by the database's own word."""

    tenant_lookup = "tenant_id"
    list_display = ("at", "actor", "action", "object", "changes", "address")
    list_filter = ("actor_kind", "action", "object_kind", "at")
    search_fields = ("=actor", "=object_id", "=object_name", "=action")
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
    )
    readonly_fields = ("object", "members")
    show_full_result_count = False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """One object's history is asked for by its id."""
        return lookup in {"object_id", "object_kind", "actor", "tenant_id"} or super().lookup_allowed(
            lookup, value, request
        )

    @display(description="object")
    def object(self, entry: Entry) -> str:
        """What it was called then, and the way to it where it has a page."""
        if not entry.object_kind:
            return ""
        try:
            url = reverse(f"admin:{entry.object_kind.replace('.', '_')}_change", args=[entry.object_id])
        except NoReverseMatch:
            return entry.object_name
        return format_html('<a href="{}">{} {}</a>', url, entry.object_kind.split(".")[-1], entry.object_name)

    @display(description="what changed")
    def changes(self, entry: Entry) -> str:
        """In one line."""
        return in_words(entry.before, entry.after)

    @display(description="before and after")
    def members(self, entry: Entry) -> str:
        """Member by member."""
        return render_to_string("console/audit/members.html", {"members": members(entry.before, entry.after)})
