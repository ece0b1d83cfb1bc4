"""A batch that is to end early, cancelled or over its time: no line begins any more, and those that run are stopped."""

from __future__ import annotations

from collections import defaultdict

import msgspec

from agents.faces.context import Context
from agents.faces.database import Row
from agents.faces.found import cancel_of
from batches import statements
from batches.lines import Failure
from batches.runner.ended_lines import forget_lines


async def stop(context: Context, batch: Row, why: Failure) -> None:
    """Ask for it; a line that runs ends when its worker has let it go. To be repeated while there are any."""
    if batch["in_progress_at"] is None:  # cancelled before its lines were known
        await forget_lines(context.db, batch["id"])
        return
    encoded = msgspec.json.encode(why).decode()
    await context.db.run(statements.END_WAITING, encoded, batch["id"], batch["id"])
    by_pool: defaultdict[str, list[Row]] = defaultdict(list)
    for row in await context.db.all(statements.RUNNING_TURNS, batch["id"]):
        by_pool[row["pool"]].append(row)
    for pool, rows in by_pool.items():
        answers = await context.hub.queue(pool).cancel([str(row["turn"]) for row in rows])
        for row, answer in zip(rows, answers, strict=True):
            if answer in ("over", "unknown"):  # it is between two turns, or lost
                await cancel_of(context, row["tenant"], row["task"])
