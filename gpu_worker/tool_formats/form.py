"""What a format of tool calls consists of: how models write calls as text, and how that is read. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

NAME = "NAME"
"""Stands for a function's name in a `Shape`."""


class Written(NamedTuple):
    """A call as the model wrote it; `arguments` is JSON text."""

    name: str
    arguments: str


class Shape(NamedTuple):
    """How calls are written around their arguments: `begin`; for each call `before` and `after`, parted by `between`; `end`."""

    begin: str
    before: str
    after: str
    between: str
    end: str


Schemas = Mapping[str, dict[str, Any]]
"""The parameters of the tools, by their names."""
Read = Callable[[str, Schemas], tuple[list[Written], str]]
"""Calls out of what stands between `opens` and `closes`, and what behind them is none."""


class ToolFormat(NamedTuple):
    """One way to write calls as text.

    `opens` begins calls wherever it stands; `closes` ends them, or if empty the answer does. With `quoted` a `closes` inside a
    JSON string does not count. `shape` is what guided answers look like; None: answers cannot be guided to calls of this format.
    `bare` says whether an answer that begins so may be a call without `opens`; None: it may not. `markers` are texts that
    vocabularies have as special tokens, which are not shown elsewhere.
    """

    name: str
    opens: str
    closes: str
    read: Read
    shape: Shape | None
    quoted: bool = False
    bare: Callable[[str], bool] | None = None
    markers: tuple[str, ...] = ()


class Call(msgspec.Struct, frozen=True):
    """A call in JSON, under the names that the formats have for its parts."""

    name: str
    arguments: dict[str, Any] = {}
    parameters: dict[str, Any] = {}

    def written(self) -> Written:
        """The call; who gives neither arguments nor parameters gives none."""
        return Written(self.name, compact(self.arguments or self.parameters))


UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError, OverflowError)
"""What reading raises where the text is not what it should be; for a lone surrogate that is a `ValueError`."""


def compact(value: Any) -> str:
    """JSON text without white space."""
    return msgspec.json.encode(value).decode()


def leading_json(text: str) -> tuple[Any, str]:
    """The JSON value at the beginning of a text, and what follows it. Raises `ValueError` where there is none."""
    value, end = _DECODER.raw_decode(text)
    compact(value)  # what cannot be written as JSON again (a lone surrogate, say) is none
    return value, text[end:]


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number in JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)
