"""Files in Postgres, a piece at a time: whoever writes or reads one holds one piece in memory, and no connection in between."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

from django.conf import settings

from agents.faces.database import Database, Row
from agents.problems import Problem
from batches import statements
from tenants.identifiers import new_id

CHUNK_BYTES = 256 * 1024
EMPTIED_AT_ONCE = 64
"""Pieces that one statement deletes."""


class WriterForgotten(Problem):
    """409: nothing was written for an hour, and what there was is gone."""

    def __init__(self) -> None:
        super().__init__(409, "upload_abandoned", "This upload paused for too long; send the file again.")


class Writer:
    """One new file. `finish` makes it seen; until then, `drop` leaves nothing of it."""

    def __init__(self, db: Database, tenant: uuid.UUID) -> None:
        self._db, self._tenant = db, tenant
        self.file = new_id()
        self.bytes = 0
        self._rest = bytearray()
        self._number = 0

    async def begin(self, *, filename: str, purpose: str) -> None:
        """Make the row."""
        await self._db.run(statements.BEGIN_FILE, self.file, self._tenant, filename, purpose)

    async def write(self, data: bytes) -> None:
        """The next bytes."""
        self.bytes += len(data)
        self._rest += data
        while len(self._rest) >= CHUNK_BYTES:
            await self._append(bytes(self._rest[:CHUNK_BYTES]))
            del self._rest[:CHUNK_BYTES]

    async def flush(self) -> None:
        """Store what is left, as the last piece."""
        if self._rest:
            await self._append(bytes(self._rest))
            self._rest.clear()

    async def finish(self, *, expires_after_s: int | None = None) -> Row:
        """Store what is left; the file is whole."""
        await self.flush()
        row = await self._db.one(statements.PROCESSED, expiry_s(expires_after_s), self._tenant, self.file)
        if row is None:
            raise WriterForgotten
        return row

    async def drop(self) -> None:
        """Forget the file, unless it is whole."""
        await self._db.run(statements.DROP, self.file)
        await empty(self._db, self.file)

    async def _append(self, piece: bytes) -> None:
        if await self._db.one(statements.APPEND, new_id(), self._number, piece, self.file, len(piece)) is None:
            raise WriterForgotten
        self._number += 1


def expiry_s(asked: int | None) -> int | None:
    """How long a new file stays; None for ever. `asked`: by whoever made it, in seconds."""
    days: int = settings.OPSITE_FILE_DAYS
    return asked if asked is not None else days * 86400 or None


async def empty(db: Database, file: uuid.UUID) -> None:
    """The content of a deleted file goes, by short statements; who comes after a killed process goes on. Any other file stays."""
    while (row := await db.one(statements.EMPTY_SOME, file, EMPTIED_AT_ONCE)) is not None and row["pieces"]:
        pass
    await db.run(statements.EMPTIED, file, file)


async def pieces(db: Database, file: uuid.UUID) -> AsyncIterator[bytes]:
    """A file from its beginning; one that is deleted meanwhile ends early."""
    number = 0
    while (row := await db.one(statements.CHUNK, file, number)) is not None:
        yield row["data"]
        number += 1


async def read(db: Database, file: uuid.UUID, *, offset: int, length: int) -> bytes:
    """Bytes out of a file; fewer where it ends before."""
    first, last = offset // CHUNK_BYTES, (offset + max(0, length - 1)) // CHUNK_BYTES
    data = b"".join(row["data"] for row in await db.all(statements.CHUNKS, file, first, last))
    start = offset - first * CHUNK_BYTES
    return data[start : start + length]
