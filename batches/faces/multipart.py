"""A `multipart/form-data` body (RFC 7578) as a stream of its parts' data, without keeping any of it."""

from __future__ import annotations

from typing import NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from agents.problems import Problem


class Part(NamedTuple):
    """What a part says of itself. Fields have no filename."""

    name: str
    filename: str | None


class Data(NamedTuple):
    """The next bytes of a part. It `begins` with none, so that an empty part is seen as well."""

    part: Part
    data: bytes
    begins: bool = False


def not_multipart(reason: str) -> Problem:
    """400: the body is no such form."""
    return Problem(400, "invalid_multipart", f"The body is not multipart/form-data: {reason}")


class Form:
    """Give it the body's pieces in order, and `end` it."""

    def __init__(self, content_type: str | None) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise not_multipart("the Content-Type must be multipart/form-data with a boundary")
        self._found: list[Data] = []
        self._part = Part("", None)
        self._disposition: bytes | None = None
        self._header, self._value = bytearray(), bytearray()
        self._ended = False
        try:
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._begin,
                    "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_end,
                    "on_part_data": lambda data, start, end: self._found.append(Data(self._part, data[start:end])),
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise not_multipart(str(error)) from error

    def push(self, piece: bytes) -> list[Data]:
        """What is known with this piece."""
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise not_multipart(str(error)) from error
        found, self._found = self._found, []
        return found

    def end(self) -> None:
        """The body is over; raises the problem of one that breaks off."""
        if not self._ended:
            raise not_multipart("it ends before its last boundary")

    def _begin(self) -> None:
        self._disposition = None
        self._header.clear()
        self._value.clear()

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise not_multipart("a part has no name")
        filename = options.get(b"filename")
        self._part = Part(_text(options[b"name"]), None if filename is None else _text(filename))
        self._found.append(Data(self._part, b"", begins=True))

    def _end(self) -> None:
        self._ended = True


def _text(value: bytes) -> str:
    return value.decode(errors="replace").replace("\x00", "\ufffd")
