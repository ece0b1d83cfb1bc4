"""What a request with the same idempotency key was answered before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from agents import measured
from agents.faces import database
from agents.faces.context import Context
from agents.faces.database import Row
from agents.faces.found import place_of, stream
from agents.faces.idempotency import Idempotency
from agents.faces.principals import AgentRef, Principal
from agents.faces.submitted import Submitted
from agents.lifecycle import TaskState
from agents.problems import Problem

EXPECT_S = 5.0
"""How long a submission waits for an equal one to be queued."""
LOOK_AGAIN_S = 0.02


class NoEarlier(Problem):
    """409: the request that had the key was refused meanwhile."""

    def __init__(self) -> None:
        super().__init__(409, "conflict", "An equal request is just being refused; send it again.", retry_after_s=1)


async def all_earlier(
    context: Context, principal: Principal, agent: AgentRef, keyed: Sequence[Idempotency], *, follow: bool
) -> list[Submitted]:
    """What the same call was answered before."""
    earlier = [await _earlier(context, principal, *by, follow=follow) for by in keyed]
    measured.submitted(agent.pool, "repeated", count=len(earlier))
    return earlier


async def _earlier(context: Context, principal: Principal, key: str | None, digest: str, *, follow: bool) -> Submitted:
    """The task that the same idempotency key made before."""
    row = await _in_the_queue(context, principal, key)
    if row is None:
        raise NoEarlier
    if row["idempotency_digest"] != digest:
        raise Problem(
            422,
            "idempotency_key_reused",
            f"The idempotency key {key!r} was used for another body; use a new key for a new task.",
        )
    followed = await stream(context, row) if follow else None
    return Submitted(row["id"], row, followed, place=await place_of(context, row))


async def _in_the_queue(context: Context, principal: Principal, key: str | None) -> Row | None:
    """The key's task, once the queue cannot refuse it any more; one that Redis has lost is the sweep's to bring back."""
    give_up_at = time.monotonic() + EXPECT_S
    while True:
        row = await context.db.one(database.TASK_BY_IDEMPOTENCY_KEY, principal.tenant, key)
        if row is None or row["state"] != TaskState.QUEUED or time.monotonic() >= give_up_at:
            return row
        (known,) = await context.hub.queue(row["pool"]).known([str(row["turn"])])
        if known:
            return row
        await asyncio.sleep(LOOK_AGAIN_S)
