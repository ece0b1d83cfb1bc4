"""Lines of a file that comes in pieces. Pure.

A line ends with a line feed (a carriage return before it is white space to JSON) or with the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_BLANK = b" \t\r"


class NotJsonl(ValueError):
    """This cannot be a file of JSON lines. `line` counts from 1; None: it is the file as a whole."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(f"line {line}: {message}" if line else message)
        self.message, self.line = message, line


class RawLine(NamedTuple):
    """A line that is not blank: its number from 1, and where its bytes lie in the file."""

    number: int
    offset: int
    data: bytes


class Splitter:
    """Give it the pieces in order, and `end` it; each hands out the lines that are complete by then."""

    def __init__(self, *, line_max: int, lines_max: int) -> None:
        self._line_max, self._lines_max = line_max, lines_max
        self._rest = bytearray()
        self._number = self._offset = self._found = 0

    def push(self, piece: bytes) -> Iterator[RawLine]:
        """The lines that this piece ends."""
        self._rest += piece
        start = 0
        while (end := self._rest.find(b"\n", start)) >= 0:
            yield from self._line(bytes(self._rest[start:end]))
            self._offset += 1
            start = end + 1
        del self._rest[:start]
        if len(self._rest) > self._line_max:
            raise self._too_long(self._number + 1)

    def end(self) -> Iterator[RawLine]:
        """The last line, if no line feed ended it."""
        yield from self._line(bytes(self._rest))
        self._rest.clear()
        if not self._found:
            raise NotJsonl("the file holds no line")

    def _line(self, data: bytes) -> Iterator[RawLine]:
        self._number += 1
        offset = self._offset
        self._offset += len(data)
        if not data.strip(_BLANK):
            return
        if len(data) > self._line_max:
            raise self._too_long(self._number)
        self._found += 1
        if self._found > self._lines_max:
            raise NotJsonl(f"a batch has at most {self._lines_max} lines; make several files", self._number)
        yield RawLine(self._number, offset, data)

    def _too_long(self, number: int) -> NotJsonl:
        return NotJsonl(f"it is longer than {self._line_max} bytes", number)


class FormCheck:
    """What is asked of a file while it comes in: UTF-8, in lines of bounded length and number. What they say, its batch judges."""

    def __init__(self, *, line_max: int, lines_max: int) -> None:
        self._splitter = Splitter(line_max=line_max, lines_max=lines_max)

    def push(self, piece: bytes) -> None:
        """The next piece; raises `NotJsonl`."""
        self._check(self._splitter.push(piece))

    def end(self) -> None:
        """There is no more; raises `NotJsonl`."""
        self._check(self._splitter.end())

    @staticmethod
    def _check(lines: Iterator[RawLine]) -> None:
        for line in lines:
            try:
                line.data.decode()
            except UnicodeDecodeError as error:
                raise NotJsonl("it is not UTF-8", line.number) from error
