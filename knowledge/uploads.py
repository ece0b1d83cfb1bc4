"""A file or a body as a document's text: UTF-8; a PDF is refused by its name."""

from __future__ import annotations

from typing import NoReturn

from agents.problems import Problem, bad_field, too_large

PDF_MARK = b"%PDF-"


def refuse_pdf() -> NoReturn:
    """Raise the problem that says what to send."""
    raise Problem(
        415, "unsupported_media_type", "PDF is not read here: send its text, as text/plain or as text/markdown."
    )


def text_of(body: bytes, *, limit: int, field: str) -> str:
    """The text of at most `limit` bytes. Raises the `Problem` that says what does not fit."""
    if len(body) > limit:
        raise too_large(limit)
    if body.startswith(PDF_MARK):
        refuse_pdf()
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise bad_field(field, f"must be text in UTF-8 ({error.reason} at byte {error.start})") from error
    if "\x00" in text:
        raise bad_field(field, "must not contain the character U+0000")
    return text
