"""How files, batches and lines are called outside: a prefix as OpenAI has it, and the row's UUID. Pure."""

from __future__ import annotations

import uuid

FILE, BATCH, LINE = "file-", "batch_", "batch_req_"


def shown(prefix: str, row: uuid.UUID) -> str:
    """The public id of a row."""
    return f"{prefix}{row}"


def row_of(prefix: str, shown_id: str) -> uuid.UUID | None:
    """The row that a public id names; None if it is none of that kind."""
    bare = shown_id.removeprefix(prefix)
    try:
        row = uuid.UUID(bare)
    except ValueError:
        return None
    return row if shown_id == shown(prefix, row) else None  # one row has one name
