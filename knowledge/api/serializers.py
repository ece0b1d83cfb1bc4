"""The forms of collections and documents: fields and their checks, no logic."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agents.api.serializers import Form, QueryForm
from knowledge.models import INDEXED_DIMENSIONS, Collection, Document


class CollectionSerializer(serializers.ModelSerializer[Collection]):
    """Documents that are searched together. `dimensions` is null until the first document was embedded."""

    pool = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    indexed = serializers.SerializerMethodField()

    class Meta:
        model = Collection
        fields = ("id", "slug", "name", "pool", "dimensions", "indexed", "chunk_size", "chunk_overlap", "created_at")

    def get_indexed(self, collection: Collection) -> bool:
        """Whether vectors of this length have an index; others are compared one by one, which takes longer and misses none."""
        return collection.dimensions in INDEXED_DIMENSIONS


class CollectionInput(Form):
    """What a caller says of a new collection."""

    slug = serializers.SlugField(max_length=63)
    name = serializers.CharField(max_length=200, required=False)
    pool = serializers.CharField(max_length=63, help_text="A pool that embeds.")
    chunk_size = serializers.IntegerField(default=200, help_text="Tokens of a chunk at most.")
    chunk_overlap = serializers.IntegerField(default=30, help_text="Tokens that a chunk shares with the next.")


class CollectionFilter(QueryForm):
    """The list of collections has no filters."""


class DocumentSerializer(serializers.ModelSerializer[Document]):
    """A document as it stands. `chunk_count` is of what is found now: an earlier text's, while a new one is ingested."""

    collection = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    error = serializers.DictField(child=serializers.CharField(), read_only=True, allow_null=True)

    class Meta:
        model = Document
        fields = (
            "id", "collection", "title", "format", "metadata", "version", "state", "error", "chunk_count", "measured_in", "tokens",
            "created_at", "uploaded_at", "ingested_at",
        )  # fmt: skip


class WholeDocumentSerializer(DocumentSerializer):
    """A document with its text."""

    text = serializers.CharField(read_only=True)

    class Meta(DocumentSerializer.Meta):
        fields = (*DocumentSerializer.Meta.fields, "text")  # type: ignore[assignment]  # a longer tuple


class DocumentInput(Form):
    """What a caller says of a document. One of the same title in the collection is replaced."""

    title = serializers.CharField(max_length=300)
    text = serializers.CharField(trim_whitespace=False)
    format = serializers.ChoiceField(choices=Document.Format.choices, default=Document.Format.TEXT.value)
    metadata = serializers.DictField(default=dict)


class DocumentFilter(QueryForm):
    """Filters of the list of documents."""

    state = serializers.MultipleChoiceField(choices=Document.State.choices, required=False)
    title = serializers.CharField(max_length=300, required=False)


class UploadQuery(QueryForm):
    """What a caller says in the query string of a text that is the body."""

    title = serializers.CharField(max_length=300)
