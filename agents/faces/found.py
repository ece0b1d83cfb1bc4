"""Tasks that were accepted: found, shown, followed, cancelled. Each call is its tenant's."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from typing import Any

from agents.faces import database
from agents.faces.context import Context
from agents.faces.database import Row
from agents.faces.principals import Principal
from agents.lifecycle import TaskState
from agents.problems import not_found
from agents.waits import shown
from taskqueue.failures import QueueUnavailable
from taskqueue.inbox import Subscription
from taskqueue.outlook import Place

LOOKS_MAX = 3
"""A task that is to be cancelled may go on to its next turn in the same moment; nobody is that fast so often."""
PLACE_S = 1.0
"""A task is shown without its place in the queue where the queue does not say it within this time."""


async def stream(context: Context, row: Row, *, after: int = 0) -> Subscription:
    """The events of a task from behind `after`; to be closed by whoever asked."""
    subscription = context.hub.subscribe(row["pool"], str(row["id"]), after=after)
    try:
        return await subscription.__aenter__()
    except BaseException:
        context.hub.drop(subscription)
        raise


async def find(context: Context, principal: Principal, task: str) -> Row:
    """The tenant's task of that id, or 404."""
    try:
        wanted = uuid.UUID(task)
    except ValueError:
        raise not_found("task") from None
    return await _find(context, principal.tenant, wanted)


async def _find(context: Context, tenant: uuid.UUID, task: uuid.UUID) -> Row:
    row = await context.db.one(database.TASK_BY_ID, tenant, task)
    if row is None:
        raise not_found("task")
    return row


async def place_of(context: Context, row: Row) -> Place | None:
    """Where a task stands in the queue; None if it does not wait, or if the queue cannot say it now."""
    if row["state"] != TaskState.QUEUED:
        return None
    with suppress(QueueUnavailable, TimeoutError):
        async with asyncio.timeout(PLACE_S):
            return await context.hub.queue(row["pool"]).place(str(row["turn"]))
    return None


async def cancel(context: Context, principal: Principal, task: str) -> Row:
    """Ask for a task's end. It ends when its worker has let it go; one that has ended stays as it is."""
    row = await find(context, principal, task)
    return await cancel_of(context, principal.tenant, row["id"])


async def cancel_of(context: Context, tenant: uuid.UUID, task: uuid.UUID) -> Row:
    """As `cancel`, in the tenant's name."""
    row = await _find(context, tenant, task)
    for _ in range(LOOKS_MAX):
        if row["finished_at"] is not None:
            break
        queue, turn = context.hub.queue(row["pool"]), str(row["turn"])
        (answer,) = await queue.cancel([turn])
        if answer == "stopping":
            break
        if answer == "ended":
            return await _find(context, tenant, task)
        row = await _find(context, tenant, task)
        # `over` and `unknown` were said of a turn that has ended, or was never enqueued. Between two turns the task ends here,
        # unless it has ended itself, or its next turn is coming: then that is the one to cancel.
        knows_log = answer == "over" or row["state"] == TaskState.WAITING
        if knows_log and await queue.end_task(str(task), turn=str(row["turn"]), state="cancelled"):
            break
        if answer == "unknown" and row["state"] != TaskState.WAITING and str(row["turn"]) == turn:
            if row["finished_at"] is None:  # its enqueue may be on its way: it must find that all is over
                await queue.end_task(str(task), turn=turn, state="cancelled")
            await context.db.cancel_unknown(tenant, task)
            return await _find(context, tenant, task)
    return row


def public(row: Row, place: Place | None = None) -> dict[str, Any]:
    """A task's row in the API's form (that of `agents.api.serializers.TaskSerializer`, and its place in the queue)."""
    return {
        "id": row["id"],
        "agent": row["agent"],
        "revision": row["revision"],
        "pool": row["pool"],
        "conversation": row["conversation"],
        "state": row["state"],
        "queue": shown(place),
        "priority": row["priority"],
        "deadline_at": row["deadline_at"],
        "metadata": row["metadata"],
        "output": row["output"],
        "tool_calls": row["tool_calls"],
        "finish_reason": row["finish_reason"],
        "error": row["error"],
        "usage": {"prompt_tokens": row["prompt_tokens"], "completion_tokens": row["completion_tokens"]},
        "context": row["context_use"],
        "attempts": row["attempts"],
        "rerun_of": row["rerun_of"],
        "created_at": row["created_at"],
        "started_at": row["started_at"],
        "first_token_at": row["first_token_at"],
        "finished_at": row["finished_at"],
    }
