"""Files and batches in the console: looked at; a batch can be cancelled."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from batches.lifecycle import BatchState, sources
from batches.models import Batch, File
from tenants.admin import ReadOnly

STATE_COLOURS = {
    "validating": "info", "in_progress": "info", "finalizing": "info", "cancelling": "warning", "completed": "success",
    "failed": "danger", "expired": "danger", "cancelled": "",
}  # fmt: skip


@admin.register(Batch)
class BatchAdmin(ReadOnly):
    """Batches: how far they are, and who runs them."""

    list_display = (
        "shown_id", "tenant", "shown_state", "total", "completed", "failed", "endpoint", "created_at", "ended_at",
    )  # fmt: skip
    export_columns = ("id", "tenant", "state", "total", "completed", "failed", "endpoint", "created_at", "ended_at")
    list_filter = ("state", "tenant", "created_at")
    search_fields = ("id", "tenant__slug")
    list_select_related = ("tenant",)
    actions: ClassVar = ["cancel"]

    @display(description="state", ordering="state", label=STATE_COLOURS)
    def shown_state(self, batch: Batch) -> str:
        """The state in its colour."""
        return batch.state

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Whoever may change batches may cancel them, though nobody edits one."""
        return request.user.has_perm("batches.change_batch")

    @admin.action(description="Cancel the selected batches", permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Batch]) -> None:
        asked = queryset.filter(state__in=sources(BatchState.CANCELLING)).update(
            state=BatchState.CANCELLING, cancelling_at=timezone.now()
        )
        self.message_user(request, f"{asked} batches are being cancelled.")


@admin.register(File)
class FileAdmin(ReadOnly):
    """Files, without their content."""

    list_display = (
        "shown_id",
        "filename",
        "tenant",
        "purpose",
        "bytes",
        "state",
        "created_at",
        "expires_at",
        "deleted_at",
    )
    export_columns = ("id", *list_display[1:])
    list_filter = ("purpose", "state", "tenant", ("deleted_at", admin.EmptyFieldListFilter))
    search_fields = ("id", "filename", "tenant__slug")
    list_select_related = ("tenant",)

    def get_exclude(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("touched_at",)
