"""Runs are submitted by the path that all tasks take, in the tenant's name, so that its limits hold and its usage has them.

Each press opens connections of its own and closes them: staff are few, and this way any server, and any test, runs the same code.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from agents.faces.context import Context
from agents.faces.submit import submit
from agents.problems import Problem, unavailable
from console.playground.asked import Run, request_of
from taskqueue.failures import QueueUnavailable

CONNECTIONS = 2


async def submit_sides(
    run: Run, *, tenant: uuid.UUID, member: str, database_url: str, redis_url: str
) -> list[dict[str, Any]]:
    """What came of each side, in order: `{"task", "agent", "revision", "pool"}`, or `{"problem"}` with the reason in words.

    Raises the `Problem` that concerns both: the tenant is suspended.
    """
    context = await Context.start(database_url=database_url, redis_url=redis_url, body_limit=0, connections=CONNECTIONS)
    try:
        principal = await context.directory.principal_of_staff(tenant, member)

        async def one(number: int) -> dict[str, Any]:
            try:
                submitted = await submit(context, principal, request_of(run, number))
            except Problem as problem:
                return {"problem": problem.body()}
            except QueueUnavailable:
                return {"problem": unavailable("The queue").body()}
            return {
                "task": str(submitted.task),
                **{name: submitted.row[name] for name in ("agent", "revision", "pool")},
            }

        return list(await asyncio.gather(*(one(number) for number in range(len(run.sides)))))
    finally:
        await context.close()
