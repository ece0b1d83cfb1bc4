"""What the tenant's webhooks are told of a batch that has ended, in the transaction that ends it."""

from __future__ import annotations

from typing import Any, Protocol

from agents.faces.database import Row
from batches.identifiers import BATCH, shown
from batches.objects import batch_of
from webhooks.announcing import ANNOUNCE, Announcement, encoded


class Connection(Protocol):
    """What of a connection is needed here."""

    async def execute(self, query: str, params: list[Any]) -> Any:
        """Run a statement."""


async def announce_end(connection: Connection, batch: Row) -> None:
    """`batch` is the row as it has ended."""
    said = batch_of(batch)
    told = ("endpoint", "request_counts", "output_file_id", "error_file_id", "errors", "metadata")
    event = Announcement(
        tenant_id=batch["tenant_id"],
        type=f"batch.{batch['state']}",
        data={"id": shown(BATCH, batch["id"]), **{name: said[name] for name in told}},
        at=batch["ended_at"],
    )
    await connection.execute(ANNOUNCE, [encoded([event])])
