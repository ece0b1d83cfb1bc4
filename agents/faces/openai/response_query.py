"""The query parameters of stored responses. Pure; what is not known is refused by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from agents.faces.requests import CURSOR_MAX
from agents.problems import bad_field

LIMIT = 20
LIMIT_MAX = 100


class Following(NamedTuple):
    """Whether to stream, and from behind which number (-1: from the start)."""

    stream: bool
    starting_after: int


def following(query: Mapping[str, str]) -> Following:
    """`stream`, `starting_after` and `include_obfuscation`, of which only `false` is served."""
    _refuse_others(query, {"stream", "starting_after", "include_obfuscation"})
    if _flag(query, "include_obfuscation"):
        raise bad_field("include_obfuscation", "is not supported here: chunks are never padded")
    stream, after = _flag(query, "stream"), query.get("starting_after")
    if after is None:
        return Following(stream, -1)
    if not stream:
        raise bad_field("starting_after", "is for streams only; give `stream=true`")
    return Following(stream, _number(after, "starting_after", 0, CURSOR_MAX))


def items_page(items: list[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """A page of items, which come in the order of the request, by `limit`, `order` and `after`."""
    _refuse_others(query, {"limit", "order", "after"})
    limit = _number(query.get("limit", str(LIMIT)), "limit", 1, LIMIT_MAX)
    order = query.get("order", "desc")
    if order not in {"asc", "desc"}:
        raise bad_field("order", "is `asc` or `desc`")
    ordered = items if order == "asc" else items[::-1]
    if "after" in query:
        ids = [item["id"] for item in ordered]
        if query["after"] not in ids:
            raise bad_field("after", "is the id of an item of this response")
        ordered = ordered[ids.index(query["after"]) + 1 :]
    page = ordered[:limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(ordered) > limit,
    }


def _refuse_others(query: Mapping[str, str], known: set[str]) -> None:
    for name in query:
        if name not in known:
            raise bad_field(name, "is not supported here")


def _flag(query: Mapping[str, str], name: str) -> bool:
    value = query.get(name, "false")
    if value not in {"true", "false"}:
        raise bad_field(name, "is `true` or `false`")
    return value == "true"


def _number(value: str, name: str, low: int, high: int) -> int:
    digits = value.isascii() and value.isdigit() and len(value) <= len(str(high))
    if not digits or not low <= int(value) <= high:
        raise bad_field(name, f"is a whole number between {low} and {high}")
    return int(value)
