"""The lines of a batch that has ended: its files have what became of them, so their rows go, in short statements.

In the transaction of the end they would hold up who renews the lease of all batches.
"""

from __future__ import annotations

import uuid

from agents.faces.database import Database
from batches import statements


async def forget_lines(db: Database, batch: uuid.UUID) -> None:
    """Remove them. Who dies in the middle leaves the rest to `batches.runner.tidy`."""
    while (row := await db.one(statements.DELETE_SOME_LINES, batch)) is not None and row["lines"]:
        pass
