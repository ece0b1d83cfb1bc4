"""Changes to collections and documents by those who own them. Ingestion is `knowledge.claims`' and `knowledge.ingest`'s."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from agents.embedding import require_embedding
from agents.problems import FieldError, Problem, bad_field, not_found
from agents.services import usable_pool
from knowledge.models import Collection, Document
from tenants.models import ApiKey, Tenant

CHUNK_SIZE_MAX = 8192


def create_collection(
    *, tenant: Tenant, slug: str, name: str, pool: str, chunk_size: int = 200, chunk_overlap: int = 30
) -> Collection:
    """A collection without documents. Raises the `Problem` that names the field that does not fit."""
    if not 0 < chunk_size <= CHUNK_SIZE_MAX:
        raise bad_field("chunk_size", f"must be 1 to {CHUNK_SIZE_MAX} tokens")
    if not 0 <= chunk_overlap <= chunk_size // 2:
        raise bad_field("chunk_overlap", "must be at most half of `chunk_size`")
    embedder = usable_pool(tenant=tenant, slug=pool)
    require_embedding(embedder.engine, field="pool")
    try:
        with transaction.atomic():
            return Collection.objects.create(
                tenant=tenant, slug=slug, name=name, pool=embedder, chunk_size=chunk_size, chunk_overlap=chunk_overlap
            )
    except IntegrityError:
        message = f"there is a collection {slug!r} already; choose another"
        raise Problem(409, "conflict", f"slug: {message}", errors=(FieldError("slug", message),)) from None


def put_document(
    *,
    collection: Collection,
    title: str,
    text: str,
    format: str = Document.Format.TEXT,  # noqa: A002 - as the field is called
    metadata: dict[str, Any] | None = None,
    api_key: ApiKey,
) -> tuple[Document, bool]:
    """A document to be ingested, and whether its title is new. If not, its text is replaced: the old one is found until then."""
    if not text.strip():
        raise bad_field("text", "must not be empty")
    content = {"text": text, "format": format, "metadata": metadata or {}, "api_key": api_key}
    try:
        document, created = Document.objects.for_tenant(collection.tenant_id).get_or_create(
            collection=collection,
            title=title,
            defaults={"tenant_id": collection.tenant_id, "uploaded_at": timezone.now(), **content},
        )
    except IntegrityError:
        raise not_found("collection") from None  # it was deleted meanwhile
    if not created:
        _requeue(document, version=F("version") + 1, **content)
    return document, created


def ingest_again(*, document: Document) -> bool:
    """Have a document that failed tried again, as it stands; false if it has not failed."""
    rows = Document.objects.for_tenant(document.tenant_id).filter(pk=document.pk, state=Document.State.FAILED)
    return bool(rows.update(version=F("version") + 1, **_WAITING))


_WAITING: dict[str, Any] = {
    "state": Document.State.WAITING,
    "error": None,
    "attempts": 0,
    "retry_at": None,
    "lease": None,
    "lease_until": None,
}


def _requeue(document: Document, **content: Any) -> None:
    """The new text waits; whoever ingests the old one has lost its claim."""
    rows = Document.objects.for_tenant(document.tenant_id).filter(pk=document.pk)
    if not rows.update(uploaded_at=timezone.now(), **content, **_WAITING):
        raise Problem(409, "conflict", "The document was deleted meanwhile; upload it again.")
    document.refresh_from_db()


@transaction.atomic
def delete_collection(*, collection: Collection) -> None:
    """With all that is in it. Locked in the order in which an ingestion locks."""
    list(Collection.objects.for_tenant(collection.tenant_id).select_for_update().filter(pk=collection.pk))
    collection.delete()


@transaction.atomic
def delete_document(*, document: Document) -> None:
    """With its chunks. Whoever ingests it has lost its claim."""
    list(Document.objects.for_tenant(document.tenant_id).select_for_update().filter(pk=document.pk))
    document.delete()
