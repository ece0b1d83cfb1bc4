"""What tenants do with files and batches, as transactions."""

from __future__ import annotations

import uuid

import msgspec

from agents.faces.database import Database, Row
from agents.problems import Problem, bad_field, not_found
from batches import statements, storage
from batches.identifiers import BATCH, shown
from batches.lifecycle import BatchState, sources
from tenants.identifiers import new_id

WINDOW_S = 24 * 3600
OPEN_MAX = 100
"""Batches of a tenant that have not ended."""


async def delete_file(db: Database, *, tenant: uuid.UUID, file: uuid.UUID) -> None:
    """The file's content goes; 409 while a batch still reads it."""
    async with db.connection() as connection, connection.transaction():
        if await (await connection.execute(statements.LOCK_FILE, [tenant, file])).fetchone() is None:
            raise not_found("file")
        if await (await connection.execute(statements.FILE_IN_USE, [file])).fetchone() is not None:
            raise Problem(409, "in_use", "A batch that has not ended reads this file; cancel it or wait.")
        await connection.execute(statements.DELETE_FILE, [file])
    await storage.empty(db, file)


async def create_batch(
    db: Database,
    *,
    tenant: uuid.UUID,
    key: uuid.UUID,
    endpoint: str,
    input_file: uuid.UUID | None,
    metadata: dict[str, str] | None,
    output_expires_after_s: int | None = None,
) -> Row:
    """A batch to be run within 24 hours, in the name of the key."""
    async with db.connection() as connection, connection.transaction():
        file = await (await connection.execute(statements.INPUT, [tenant, input_file])).fetchone()
        if file is None:
            raise bad_field("input_file_id", "there is no such file; upload one by POST /v1/files")
        if file["purpose"] != "batch":
            raise bad_field("input_file_id", f"the purpose of the file is {file['purpose']!r}; it must be 'batch'")
        row = await (await connection.execute(statements.OPEN_BATCHES, [tenant])).fetchone()
        if row is not None and row["open"] >= OPEN_MAX:
            raise Problem(
                429,
                "too_many_batches",
                f"{OPEN_MAX} batches of this tenant have not ended, which is the limit; try again when one has.",
                retry_after_s=60,
            )
        encoded = msgspec.json.encode(metadata).decode()
        cursor = await connection.execute(
            statements.CREATE,
            [
                new_id(),
                tenant,
                key,
                endpoint,
                input_file,
                None if metadata is None else encoded,
                output_expires_after_s,
                WINDOW_S,
            ],
        )
        created = await cursor.fetchone()
    if created is None:
        raise RuntimeError("an inserted batch was not returned")
    return created


async def cancel_batch(db: Database, *, tenant: uuid.UUID, batch: uuid.UUID) -> Row:
    """Ask for its end; one that is ending so already stays as it is. 409: it ended otherwise, or is about to."""
    row = await db.one(statements.CANCEL, tenant, batch, sources(BatchState.CANCELLING))
    row = row or await db.one(statements.BATCH, tenant, batch)
    if row is None:
        raise not_found("batch")
    if row["state"] not in (BatchState.CANCELLING, BatchState.CANCELLED):
        raise Problem(409, "conflict", f"{shown(BATCH, batch)} is {row['state']} and cannot be cancelled any more.")
    return row
