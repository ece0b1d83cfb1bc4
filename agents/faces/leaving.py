"""A client that leaves before its answer is complete: whether the task ends with it, and its end.

An answer that nobody reads is work for nothing, but only the tenant can say so: a task may be worth its outcome. What counts is the
connection that submitted the task and was to bring the answer. Who merely follows may come and go.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable

from msgspec import UNSET

from agents.faces.context import Context
from agents.faces.found import cancel_of
from agents.faces.requests import TaskRequest
from agents.faces.submitted import Submitted
from agents.problems import Problem, bad_field
from taskqueue.failures import QueueUnavailable

log = logging.getLogger(__name__)

FIELD = "cancel_on_disconnect"


def ends_with_client(request: TaskRequest, *, by_default: bool, followed: bool) -> bool:
    """Whether the task is to be cancelled when its client leaves; raises the `Problem` of a wish that cannot be granted.

    An idempotency key says that the client may come back for the answer, so such a task goes on.
    """
    wish = request.cancel_on_disconnect
    if wish is True and not followed:
        raise bad_field(
            FIELD, "the answer comes by another connection here; use POST /v1/chat/completions, or follow by websocket"
        )
    if wish is True and request.idempotency_key is not None:
        raise bad_field(FIELD, "give either this or an idempotency key, with which the answer can be asked for again")
    if not followed or request.idempotency_key is not None:
        return False
    return by_default if wish is UNSET else wish


async def end(context: Context, left: Iterable[Submitted]) -> None:
    """Cancel those of the tasks that were to end with their client. If the queue is away now, they go on to their outcome."""
    await cancel(context, [one for one in left if one.ends_with_client])


async def cancel(context: Context, tasks: Iterable[Submitted]) -> None:
    """Cancel tasks whose answers nobody will read, those that have ended excepted. If the queue is away now, they go on."""
    by_pool: defaultdict[str, list[Submitted]] = defaultdict(list)
    for one in tasks:
        by_pool[one.row["pool"]].append(one)
    for pool, several in by_pool.items():
        try:
            answers = await context.hub.queue(pool).cancel([str(one.row["turn"]) for one in several])
            for one, answer in zip(several, answers, strict=True):
                if answer in ("over", "unknown"):  # it may have gone on to another turn
                    await cancel_of(context, one.row["tenant"], one.task)
        except (QueueUnavailable, Problem) as error:
            log.warning("pool %s: %d tasks go on though nobody reads them: %s", pool, len(several), error)
