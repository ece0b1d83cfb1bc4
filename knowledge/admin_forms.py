"""A document as staff upload it in the console, in the name of one of the tenant's keys."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextareaWidget

from agents.problems import Problem
from knowledge.models import Document
from knowledge.uploads import text_of


class DocumentForm(forms.ModelForm[Document]):
    """A file or a text; a document of the same title in the collection is replaced."""

    file = forms.FileField(
        required=False, widget=UnfoldAdminFileFieldWidget, help_text="Plain text or Markdown, in UTF-8."
    )
    text = forms.CharField(
        required=False, strip=False, widget=UnfoldAdminTextareaWidget, help_text="In place of a file."
    )

    class Meta:
        model = Document
        fields = ("collection", "api_key", "title", "format")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["api_key"].required = True

    def clean(self) -> dict[str, Any] | None:
        """The text from wherever it comes, and a key that is the collection's tenant's."""
        cleaned = super().clean() or self.cleaned_data
        file, text = cleaned.get("file"), cleaned.get("text") or ""
        if bool(file) == bool(text.strip()):
            self.add_error("file", "Give either a file or a text.")
        elif file:
            try:
                limit: int = settings.OPSITE_BODY_LIMIT_BYTES
                cleaned["text"] = text_of(file.read(limit + 1), limit=limit, field="file")
            except Problem as problem:
                self.add_error("file", problem.detail)
            else:
                if not cleaned["text"].strip():
                    self.add_error("file", "The file is empty.")
        collection, key = cleaned.get("collection"), cleaned.get("api_key")
        if collection and key and (key.tenant_id != collection.tenant_id or key.revoked_at is not None):
            self.add_error("api_key", f"Choose a key of {collection.tenant} that was not revoked.")
        return cleaned

    def _post_clean(self) -> None:
        """The row is the service's to make, and one of the same title is replaced: there is nothing more to ask of it here."""
