"""Texts as request bodies: plain text and Markdown in UTF-8; a PDF is refused by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any, ClassVar, NoReturn

from django.conf import settings
from rest_framework.parsers import BaseParser

from agents.problems import Problem, bad_field, too_large
from knowledge.models import Document

PDF_MARK = b"%PDF-"


def refuse_pdf() -> NoReturn:
    """Raise the problem that says what to send."""
    raise Problem(
        415, "unsupported_media_type", "PDF is not read here: send its text, as text/plain or as text/markdown."
    )


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
        body: bytes = stream.read(limit + 1)
        if len(body) > limit:
            raise too_large(limit)
        if body.startswith(PDF_MARK):
            refuse_pdf()
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            raise bad_field("body", f"must be text in UTF-8 ({error.reason} at byte {error.start})") from error
        if "\x00" in text:
            raise bad_field("body", "must not contain the character U+0000")
        return {"text": text, "format": self.format}


class MarkdownParser(TextParser):
    """`text/markdown`, likewise."""

    media_type = "text/markdown"
    format = Document.Format.MARKDOWN
