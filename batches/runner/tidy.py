"""Files that are over: uploads that broke off, and those past the time that their tenants gave them."""

from __future__ import annotations

from agents.faces.database import Database
from batches import statements


async def tidy(db: Database) -> None:
    """Remove some; to be called now and then."""
    abandoned = [row["id"] for row in await db.all(statements.ABANDONED_FILES)]
    if abandoned:
        await db.run(statements.DROP, abandoned, abandoned)
    async with db.connection() as connection, connection.transaction():
        cursor = await connection.execute(statements.EXPIRED_FILES)
        expired = [row["id"] for row in await cursor.fetchall()]
        if expired:
            await connection.execute(statements.DELETE_FILES, [expired, expired])
