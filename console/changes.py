"""What changed, in words: for the list of the audit log, and for one entry of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

NAMED = 4
"""Members that a line names; the entry's page has them all."""
LONGEST = 40
NOISE = frozenset({"id", "created_at"})


def members(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[tuple[str, str, str]]:
    """(member, before, after) as text, sorted by name; a side that has it not is empty."""
    was, becomes = before or {}, after or {}
    return [(name, _text(was, name), _text(becomes, name)) for name in sorted({*was, *becomes})]


def in_words(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str:
    """`max_workers: 2 → 5, kind: queue_depth → forecast`, at most four members; of what is new or gone the members with a value."""
    told = []
    for name, was, becomes in members(before, after):
        if name in NOISE or was == becomes:
            continue
        if before and after:
            told.append(f"{name}: {_short(was)} → {_short(becomes)}")
        elif (was or becomes) not in ("", "null", "[]", "{}", '""', "0", "false"):
            told.append(f"{name}: {_short(was or becomes)}")
    more = f" and {len(told) - NAMED} more" if len(told) > NAMED else ""
    return ", ".join(told[:NAMED]) + more


def _text(row: Mapping[str, Any], name: str) -> str:
    if name not in row:
        return ""
    value = row[name]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _short(text: str) -> str:
    text = " ".join(text.split()) or "nothing"
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
