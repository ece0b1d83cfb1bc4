"""Rows as OpenAI's objects. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from agents.faces.database import Row
from batches.identifiers import BATCH, FILE, shown
from batches.lifecycle import BatchState


def file_of(row: Row) -> dict[str, Any]:
    """A `File`."""
    return {
        "id": shown(FILE, row["id"]),
        "object": "file",
        "bytes": row["bytes"],
        "created_at": _seconds(row["created_at"]),
        "expires_at": _seconds(row["expires_at"]),
        "filename": row["filename"],
        "purpose": row["purpose"],
        "status": row["state"],
        "status_details": None,
    }


def batch_of(row: Row) -> dict[str, Any]:
    """A `Batch`."""
    ended = {f"{state}_at": _seconds(row["ended_at"]) if row["state"] == state else None for state in _ENDS}
    return {
        "id": shown(BATCH, row["id"]),
        "object": "batch",
        "endpoint": row["endpoint"],
        "errors": None if row["errors"] is None else {"object": "list", "data": row["errors"]},
        "input_file_id": shown(FILE, row["input_file_id"]),
        "completion_window": "24h",
        "status": row["state"],
        "output_file_id": None if row["output_file_id"] is None else shown(FILE, row["output_file_id"]),
        "error_file_id": None if row["error_file_id"] is None else shown(FILE, row["error_file_id"]),
        "created_at": _seconds(row["created_at"]),
        "in_progress_at": _seconds(row["in_progress_at"]),
        "expires_at": _seconds(row["expires_at"]),
        "finalizing_at": _seconds(row["finalizing_at"]),
        "cancelling_at": _seconds(row["cancelling_at"]),
        **ended,
        "request_counts": {"total": row["total"], "completed": row["completed"], "failed": row["failed"]},
        "metadata": row["metadata"],
    }


def page_of(objects: list[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """A page of a list."""
    return {
        "object": "list",
        "data": objects,
        "first_id": objects[0]["id"] if objects else None,
        "last_id": objects[-1]["id"] if objects else None,
        "has_more": has_more,
    }


_ENDS = (BatchState.COMPLETED, BatchState.FAILED, BatchState.EXPIRED, BatchState.CANCELLED)


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
