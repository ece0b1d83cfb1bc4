"""Values that servers stumble over: what no column, no integer, no URL and no parser takes. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

DEEP: Any = []
for _ in range(500):
    DEEP = [DEEP]

TEXTS = [
    "\x00",  # neither Postgres' text nor its jsonb can hold it
    "a\x00b",
    "\ud800",  # half of a pair: no UTF-8
    "²",  # a digit to str.isdigit, none to int
    "٣",  # a decimal to int, too
    "9" * 40,
    "9" * 5000,  # more digits than int reads
    "-1",
    "1e999",
    "NaN",
    "",
    " ",
    "x" * 5000,
    "\u202e\U0001f600",
    "%00%ff",
    "../../x",
    "(",
    "[",
    "{",
    "${secret:",
    "\\",
    "'\"",
    "http://[",
    "http://a:99999999/",
    "https://\u2100.example/",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "00000000-0000-0000-0000-000000000000",
    "urn:uuid:00000000-0000-0000-0000-000000000000",
    "W251bGwsbnVsbF0",  # [null,null] as a cursor
    "WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzIzOjU5IiwiMDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwIl0",  # a moment before year 1 in UTC
    "OTk5OTk5OTk5OTk5OTk5OTk5OTk",  # a number over all bounds as a cursor
]
OTHERS: list[Any] = [
    None, True, 0, -1, 2**31, 2**63, 2**64, 10**40, -(10**400), 0.5, 1e308, float("nan"), float("inf"),
    [], {}, [None], [[]], ["\x00"], {"": ""}, {"\x00": 0}, {"a": {"b": "\ud800"}}, DEEP,
]  # fmt: skip
HEADERS = ["", "\xb2", "\xff", "-1", "1e999", "9" * 40, "x" * 5000, "a\tb"]
"""Latin-1, as headers are; without control characters, which the server itself refuses as no HTTP."""

Place = tuple[str | int, ...]


def places(value: Any, here: Place = ()) -> Iterator[Place]:
    """Every value in a JSON document, the whole first."""
    yield here
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*here, key))


def replaced(value: Any, place: Place, new: Any) -> Any:
    """The document with another value in that place."""
    if not place:
        return new
    key, rest = place[0], place[1:]
    if isinstance(value, dict):
        return {**value, key: replaced(value[key], rest, new)}
    return [replaced(one, rest, new) if index == key else one for index, one in enumerate(value)]


def without(value: Any, place: Place) -> Any:
    """The document without what is in that place, which is not the whole."""
    key, rest = place[0], place[1:]
    if rest:
        return replaced(value, (key,), without(value[key], rest))
    if isinstance(value, dict):
        return {name: one for name, one in value.items() if name != key}
    return [one for index, one in enumerate(value) if index != key]
