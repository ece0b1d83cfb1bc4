"""Texts as request bodies: plain text and Markdown in UTF-8; a PDF is refused by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any, ClassVar

from django.conf import settings
from rest_framework.parsers import BaseParser

from knowledge.models import Document
from knowledge.uploads import refuse_pdf, text_of


class PdfParser(BaseParser):
    """`application/pdf`: understood only to be refused."""

    media_type = "application/pdf"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Never returns."""
        refuse_pdf()


class TextParser(BaseParser):
    """`text/plain`: the body is the document's text; what else is said of it stands in the query string."""

    media_type = "text/plain"
    format: ClassVar[str] = Document.Format.TEXT

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """The text and its format, as a body in JSON would say them."""
        limit: int = settings.OPSITE_BODY_LIMIT_BYTES
        return {"text": text_of(stream.read(limit + 1), limit=limit, field="body"), "format": self.format}


class MarkdownParser(TextParser):
    """`text/markdown`, likewise."""

    media_type = "text/markdown"
    format = Document.Format.MARKDOWN
