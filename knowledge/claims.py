"""The claim of a process on a document: one holds it at a time, for as long as it renews the lease; its end is written once, whole.

Time is Postgres' clock, so that any number of processes agree on it.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from django.db import transaction
from django.db.models import Count, F, Min, Q
from django.db.models.functions import Now

from agents.problems import Problem
from knowledge.chunking import Piece
from knowledge.models import Chunk, Collection, Document
from tenants.scoping import TenantQuerySet

LEASE_S = 30.0
PER_TENANT = 8
"""Documents of a tenant that are under way at a time, all processes together (a claim more, where two meet)."""
TENANTS_TRIED = 4
"""Other processes may just take the same."""
ATTEMPTS_MAX = 5
"""So often is a document tried again after failures that may pass."""
WRITE_AT_ONCE = 200


class Claim(NamedTuple):
    """A document that this process ingests."""

    document: Document
    lease: uuid.UUID


class Ingested(NamedTuple):
    """What became of a document: its pieces with their vectors, and how they came about."""

    pieces: Sequence[Piece]
    vectors: Sequence[Sequence[float]]
    measured_in: str
    tokens: int
    model: str


class ClaimLost(Exception):
    """The document was replaced or deleted, or another process holds it: what was made of it is worth nothing."""


class ModelChanged(Problem):
    """409: vectors of two models cannot be compared."""

    def __init__(self, *, was: str, now: str) -> None:
        super().__init__(
            409,
            "model_changed",
            f"The collection was embedded by {was}, and its pool gives {now} now: they cannot be compared. "
            "Make a new collection, or set the pool back.",
        )


@transaction.atomic
def claim() -> Claim | None:
    """A document that waits, or was left by a process that is gone; None if there is none that may be taken up now.

    It is the oldest of the tenant that has the fewest under way, so that nobody waits behind another's thousands.
    """
    free = (Q(state=Document.State.WAITING) & (Q(retry_at__isnull=True) | Q(retry_at__lte=Now()))) | Q(
        state=Document.State.INGESTING, lease_until__lt=Now()
    )
    held = Q(state=Document.State.INGESTING, lease_until__gte=Now())
    tenants = (
        Document.objects.across_tenants()
        .filter(state__in=(Document.State.WAITING, Document.State.INGESTING))
        .order_by()
        .values("tenant")
        .annotate(under_way=Count("pk", filter=held), first=Min("uploaded_at", filter=free))
        .filter(under_way__lt=PER_TENANT, first__isnull=False)
        .order_by("under_way", "first")
    )
    for row in tenants[:TENANTS_TRIED]:
        document = (
            Document.objects.for_tenant(row["tenant"])
            .filter(free)
            .order_by("uploaded_at")
            .select_related("collection__pool")
            .select_for_update(skip_locked=True, of=("self",))
            .first()
        )
        if document is not None:
            return _claimed(document)
    return None


def _claimed(document: Document) -> Claim:
    lease = uuid.uuid4()
    Document.objects.for_tenant(document.tenant_id).filter(pk=document.pk).update(
        state=Document.State.INGESTING, lease=lease, lease_until=Now() + timedelta(seconds=LEASE_S)
    )
    return Claim(document, lease)


def renew(held: Claim) -> bool:
    """Hold it for a lease more; false if it is held no longer."""
    return bool(_held(held).update(lease_until=Now() + timedelta(seconds=LEASE_S)))


def give_back(held: Claim, *, retry_s: float = 0.0, counts: bool = False) -> None:
    """Let it wait again, for so long; `counts` towards the failures that it may have."""
    _held(held).update(
        state=Document.State.WAITING,
        lease=None,
        lease_until=None,
        retry_at=Now() + timedelta(seconds=retry_s),
        attempts=F("attempts") + int(counts),
    )


def fail(held: Claim, problem: Problem) -> None:
    """It cannot be ingested as it is."""
    error = {"code": problem.code, "message": problem.detail}
    _held(held).update(state=Document.State.FAILED, error=error, lease=None, lease_until=None, retry_at=None)


@transaction.atomic
def complete(held: Claim, made: Ingested) -> None:
    """Put the chunks in the place of those that were. Raises `ClaimLost`, and `ModelChanged`; then nothing is written."""
    document = held.document
    # Against a deletion of the collection, which locks it first, too; uploads to it go on meanwhile.
    collection = (
        Collection.objects.for_tenant(document.tenant_id).select_for_update(no_key=True).get(pk=document.collection_id)
    )
    if not _held(held).select_for_update().exists():
        raise ClaimLost
    if made.vectors:
        _one_model(collection, made)
    chunks = Chunk.objects.for_tenant(document.tenant_id)
    chunks.filter(document=document).delete()
    chunks.bulk_create(
        [
            Chunk(
                tenant_id=document.tenant_id,
                collection=collection,
                document=document,
                number=number,
                start=piece.start,
                stop=piece.stop,
                text=document.text[piece.start : piece.stop],
                dimensions=len(vector),
                embedding=list(vector),
            )
            for number, (piece, vector) in enumerate(zip(made.pieces, made.vectors, strict=True), 1)
        ],
        batch_size=WRITE_AT_ONCE,
    )
    _held(held).update(
        state=Document.State.READY,
        lease=None,
        lease_until=None,
        retry_at=None,
        chunk_count=len(made.pieces),
        measured_in=made.measured_in,
        tokens=made.tokens,
        ingested_at=Now(),
    )


def _one_model(collection: Collection, made: Ingested) -> None:
    """The first document's vectors say what all of the collection are."""
    length = len(made.vectors[0])
    if collection.dimensions is None:
        Collection.objects.for_tenant(collection.tenant_id).filter(pk=collection.pk).update(
            dimensions=length, model=made.model
        )
    elif (collection.dimensions, collection.model) != (length, made.model):
        raise ModelChanged(
            was=f"{collection.model} ({collection.dimensions} dimensions)", now=f"{made.model} ({length} dimensions)"
        )


def _held(held: Claim) -> TenantQuerySet[Document]:
    return Document.objects.for_tenant(held.document.tenant_id).filter(pk=held.document.pk, lease=held.lease)
