"""A chore of `manage.py effects`: what is over goes. Uploads that broke off, files past their time, and what was left of all that.

It stands beside the running of batches: however much there is to remove, no batch waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from agents.faces.context import Context
from agents.faces.database import Database
from agents.problems import Problem
from batches import statements, storage
from batches.runner.ended_lines import forget_lines

log = logging.getLogger(__name__)

EVERY_S = 60.0
FILES = 100
"""That are emptied in one go."""


async def tidy_files(context: Context, stop: asyncio.Event) -> None:
    """Do so now and then, until `stop` is set."""
    while not stop.is_set():
        try:
            await tidy(context.db)
        except Problem as problem:  # Postgres is away
            log.warning("files: %s", problem)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), EVERY_S)


async def tidy(db: Database) -> None:
    """Remove some. Any number of processes may do so at once."""
    await db.run(statements.ABANDON)
    await db.run(statements.EXPIRE)
    for row in await db.all(statements.NOT_EMPTY, FILES):
        await storage.empty(db, row["id"])
    for row in await db.all(statements.ENDED_WITH_LINES):
        await forget_lines(db, row["id"])
