"""What a tenant's agents can look up: collections, their documents, and the chunks of these with their vectors."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.indexes import OpClass
from django.db import models
from django.db.models import F, Func, IntegerField, Q
from django.db.models.functions import Cast
from django.db.models.lookups import Exact
from pgvector.django import HnswIndex, VectorField

from tenants.identifiers import new_id
from tenants.scoping import TenantOwned

INDEXED_DIMENSIONS = (256, 384, 512, 768, 1024, 1536, 2000)
"""Lengths of vectors that have an HNSW index (which takes 2000 at most); vectors of other lengths are compared one by one."""


class Collection(TenantOwned):
    """Documents that are searched together, embedded by one pool's model."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    slug = models.SlugField(max_length=63)
    name = models.CharField(max_length=200)
    pool = models.ForeignKey("orchestrator.Pool", on_delete=models.PROTECT, related_name="+")
    model = models.CharField(
        max_length=500, blank=True, editable=False, help_text="What the pool ran when the first document was embedded."
    )
    dimensions = models.PositiveIntegerField(
        null=True,
        editable=False,
        help_text="The length of the vectors, as the first document's came; empty: none came yet.",
    )
    chunk_size = models.PositiveIntegerField(default=200, help_text="Tokens of a chunk at most.")
    chunk_overlap = models.PositiveIntegerField(
        default=30, help_text="Tokens that a chunk has in common with the next."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["slug"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "slug"], name="collection_slug_per_tenant"),
            models.CheckConstraint(
                condition=Q(chunk_size__gt=0, chunk_overlap__lte=F("chunk_size") / 2), name="collection_chunks_proceed"
            ),
            models.CheckConstraint(
                condition=Q(dimensions__isnull=True) | Q(dimensions__gt=0), name="collection_dimensions_positive"
            ),
        ]

    def __str__(self) -> str:
        return self.slug


class Document(TenantOwned):
    """A text of a collection. It is found when all its chunks are there; until a new text's are, the old one's are found."""

    class Format(models.TextChoices):
        TEXT = "text", "plain text"
        MARKDOWN = "markdown", "Markdown"

    class State(models.TextChoices):
        WAITING = "waiting", "waiting"
        INGESTING = "ingesting", "ingesting"
        READY = "ready", "ready"
        FAILED = "failed", "failed"

    class Measure(models.TextChoices):
        TOKENS = "tokens", "tokens of the model's own tokenizer"
        CHARACTERS = "characters", "characters, four to a token"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    collection = models.ForeignKey(Collection, on_delete=models.CASCADE, related_name="documents")
    title = models.CharField(max_length=300)
    format = models.CharField(max_length=10, choices=Format, default=Format.TEXT)
    text = models.TextField()
    metadata = models.JSONField(default=dict, blank=True)
    api_key = models.ForeignKey(
        "tenants.ApiKey",
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="Who uploaded it: in its name the chunks are embedded.",
    )
    version = models.PositiveIntegerField(default=1, help_text="Counts the uploads under this title.")
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    error = models.JSONField(null=True, blank=True)
    chunk_count = models.PositiveIntegerField(default=0, help_text="Chunks that are found.")
    measured_in = models.CharField(
        max_length=10, choices=Measure, blank=True, help_text="How its chunks were measured."
    )
    tokens = models.PositiveIntegerField(default=0, help_text="What embedding it took.")
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Failures of this version that were tried again.")
    retry_at = models.DateTimeField(null=True, blank=True)
    lease = models.UUIDField(
        null=True, blank=True, editable=False, help_text="The claim of the process that ingests it."
    )
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    uploaded_at = models.DateTimeField()
    ingested_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["collection", "-created_at", "-id"], name="document_by_collection"),
            models.Index(fields=["uploaded_at"], name="document_open", condition=Q(state__in=["ingesting", "waiting"])),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["collection", "title"], name="document_title_per_collection"),
            models.CheckConstraint(
                condition=Q(state="ingesting", lease__isnull=False, lease_until__isnull=False)
                | (~Q(state="ingesting") & Q(lease__isnull=True, lease_until__isnull=True)),
                name="document_leased_iff_ingesting",
            ),
            models.CheckConstraint(
                condition=Q(state="failed", error__isnull=False) | (~Q(state="failed") & Q(error__isnull=True)),
                name="document_error_iff_failed",
            ),
        ]

    def __str__(self) -> str:
        return self.title


class Chunk(TenantOwned):
    """A piece of a document with its vector: `text` is the document's from `start` to before `stop`, in characters."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    collection = models.ForeignKey(Collection, on_delete=models.CASCADE, related_name="+")
    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="chunks")
    number = models.PositiveIntegerField(help_text="From 1, in the document's order.")
    start = models.PositiveIntegerField()
    stop = models.PositiveIntegerField()
    text = models.TextField()
    dimensions = models.PositiveIntegerField()
    embedding = VectorField()

    class Meta:
        ordering: ClassVar = ["document", "number"]
        indexes: ClassVar = [
            HnswIndex(
                OpClass(Cast("embedding", VectorField(dimensions=length)), name="vector_cosine_ops"),
                name=f"chunk_near_{length}",
                condition=Q(dimensions=length),
            )
            for length in INDEXED_DIMENSIONS
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["document", "number"], name="chunk_number_per_document"),
            models.CheckConstraint(condition=Q(start__lt=F("stop")), name="chunk_has_text"),
            models.CheckConstraint(
                condition=Exact(
                    Func(F("embedding"), function="vector_dims", output_field=IntegerField()), F("dimensions")
                ),
                name="chunk_dimensions_true",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.document_id}/{self.number}"


class EmbeddingTask(TenantOwned):
    """A task that embeds some of a document's chunks, until its answer is emptied (`knowledge.vectors_once`)."""

    task = models.OneToOneField("agents.Task", on_delete=models.CASCADE, primary_key=True, related_name="+")
    document = models.UUIDField(help_text="Which may have been deleted since.")
    version = models.PositiveIntegerField(help_text="Of the document.")

    class Meta:
        ordering: ClassVar = ["task"]

    def __str__(self) -> str:
        return str(self.task_id)
