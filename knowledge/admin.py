"""Collections and their documents in the console: looked at, uploaded, deleted, and tried again."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from knowledge import services
from knowledge.admin_forms import DocumentForm
from knowledge.models import Collection, Document
from tenants.admin import AcrossTenants, ReadOnly

STATE_COLOURS = {"waiting": "warning", "ingesting": "info", "ready": "success", "failed": "danger"}


class Deletable(ReadOnly):
    """Rows that tenants make; staff may delete them, one by one."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return AcrossTenants.has_delete_permission(self, request, obj)

    def get_actions(self, request: HttpRequest) -> Any:
        return {name: one for name, one in super().get_actions(request).items() if name != "delete_selected"}


@admin.register(Collection)
class CollectionAdmin(Deletable):
    """Collections of all tenants."""

    ordering = ("slug",)  # counting documents forgets the model's own
    list_display = ("slug", "name", "tenant", "pool", "documents", "dimensions", "created_at")
    list_filter = ("tenant", "pool")
    search_fields = ("slug", "name", "tenant__slug")
    list_select_related = ("tenant", "pool")
    fields = ("tenant", "slug", "name", "pool", "model", "dimensions", "chunk_size", "chunk_overlap", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).annotate(document_count=Count("documents"))

    @display(description="documents", ordering="document_count")
    def documents(self, collection: Any) -> int:
        """How many it has."""
        count: int = collection.document_count
        return count

    def delete_model(self, request: HttpRequest, obj: Collection) -> None:
        services.delete_collection(collection=obj)


@admin.register(Document)
class DocumentAdmin(Deletable):
    """Documents of all tenants, and what became of their ingestion."""

    list_display = (
        "title",
        "tenant",
        "collection",
        "shown_state",
        "chunk_count",
        "tokens",
        "uploaded_at",
        "ingested_at",
    )
    list_filter = ("state", "tenant")
    search_fields = ("title", "collection__slug", "tenant__slug")
    list_select_related = ("tenant", "collection")
    autocomplete_fields = ("collection", "api_key")
    actions: ClassVar = ["try_again"]
    fields = (
        "tenant", "collection", "title", "format", "metadata", "api_key", "version", "state", "error", "attempts", "retry_at",
        "chunk_count", "measured_in", "tokens", "created_at", "uploaded_at", "ingested_at", "text",
    )  # fmt: skip

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("knowledge.add_document")

    def get_form(self, request: HttpRequest, obj: Document | None = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **({} if change else {"form": DocumentForm}), **kwargs)

    def get_fields(self, request: HttpRequest, obj: Document | None = None) -> Any:
        return ("collection", "api_key", "title", "format", "file", "text") if obj is None else self.fields

    def save_model(self, request: HttpRequest, obj: Document, form: Any, change: bool) -> None:
        said = {name: form.cleaned_data[name] for name in ("collection", "api_key", "title", "format", "text")}
        document, created = services.put_document(**said)
        obj.__dict__.update({name: value for name, value in document.__dict__.items() if name != "_state"})
        obj._state.adding = False
        if not created:
            messages.warning(request, "There was a document of this title: its text is replaced.")

    @display(description="state", label=STATE_COLOURS)
    def shown_state(self, document: Document) -> str:
        """Its colour says whether it is found."""
        return document.state

    @admin.action(description="Try documents that failed again", permissions=["try_again"])
    def try_again(self, request: HttpRequest, documents: QuerySet[Document]) -> None:
        """As they stand."""
        count = sum(services.ingest_again(document=document) for document in documents)
        messages.success(request, f"{count} documents wait to be ingested again.")

    def has_try_again_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("knowledge.change_document")

    def delete_model(self, request: HttpRequest, obj: Document) -> None:
        services.delete_document(document=obj)
