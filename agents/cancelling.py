"""Tasks whose end staff asks for, pool by pool: what was done is written into the audit log, what was not can be tried again."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from django.db import transaction
from django.http import HttpRequest

from agents.lifecycle import TaskState
from agents.models import Task, Turn
from audit.recording import record
from taskqueue.failures import QueueRefused, QueueUnavailable
from taskqueue.sync_client import Queue
from tenants.models import Tenant

CANCELLED_AT_ONCE = 500
UNSURE = {"answer": "Redis went away before it answered"}


@dataclass(slots=True)
class Cancelled:
    """What came of it, task by task. `ending`: waited or ran, and ends when its recorder says so. `idle`: there was nothing to end.

    `unsure`: Redis went away when it had been asked and before it answered. `untried`: it was not asked. Both may be asked again.
    """

    ending: list[Task] = field(default_factory=list)
    idle: list[Task] = field(default_factory=list)
    unsure: list[Task] = field(default_factory=list)
    untried: list[Task] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether Redis answered for all of them."""
        return not (self.unsure or self.untried)


class OpenCancelled(NamedTuple):
    """How many tasks of a tenant are ending, and whether Redis answered for all."""

    ending: int
    is_whole: bool


def cancel_for_staff(*, request: HttpRequest, tasks: Sequence[Task], redis_url: str) -> Cancelled:
    """`cancel_tasks`, with an entry of the audit log for each that is ending, and for each that may be."""
    with transaction.atomic():
        done = cancel_tasks(tasks=tasks, redis_url=redis_url)
        for task in done.ending:
            record(request, "task.cancel", task, before={"state": task.state})
        for task in done.unsure:
            record(request, "task.cancel", task, before={"state": task.state}, after=UNSURE)
    return done


def cancel_tasks(*, tasks: Sequence[Task], redis_url: str) -> Cancelled:
    """Ask the queues to end these tasks. From the first pool on for which Redis does not answer none is asked."""
    last: dict[uuid.UUID, Turn] = {}
    turns = Turn.objects.across_tenants().filter(task__in=[task.pk for task in tasks]).select_related("task__pool")
    for turn in turns.order_by("number"):
        last[turn.task_id] = turn
    done = Cancelled(idle=[task for task in tasks if task.pk not in last])
    by_pool: dict[str, list[tuple[Task, str]]] = {}
    for task in tasks:
        if (known := last.get(task.pk)) is not None:
            by_pool.setdefault(known.task.pool.slug, []).append((task, str(known.pk)))
    for pool, those in by_pool.items():
        if not done.is_whole:
            done.untried += [task for task, _ in those]
            continue
        queue = Queue(redis_url, pool)
        try:
            _cancel_in(queue, those, done)
        finally:
            queue.close()
    return done


def cancel_open_tasks(*, tenant: Tenant, redis_url: str) -> OpenCancelled:
    """Ask the queues to end all that waits or runs for a tenant, while Redis answers. What comes meanwhile is left alone."""
    ending, last = 0, uuid.UUID(int=0)
    open_tasks = Task.objects.for_tenant(tenant).filter(finished_at__isnull=True).order_by("pk")
    while some := list(open_tasks.filter(pk__gt=last)[:CANCELLED_AT_ONCE]):
        done = cancel_tasks(tasks=some, redis_url=redis_url)
        ending += len(done.ending)
        if not done.is_whole:
            return OpenCancelled(ending, is_whole=False)
        last = some[-1].pk
    return OpenCancelled(ending, is_whole=True)


def _cancel_in(queue: Queue, those: Sequence[tuple[Task, str]], done: Cancelled) -> None:
    """Those of one pool, each with its last turn."""
    open_: dict[uuid.UUID, Task] = {task.pk: task for task, _ in those}
    asked: list[Task] = []
    try:
        queue.known([those[0][1]])  # a look changes nothing: where Redis is away already, none was asked
        asked = list(open_.values())
        answers = queue.cancel([turn for _, turn in those])
        asked = []
        over: list[tuple[Task, str]] = []
        for (task, turn), answer in zip(those, answers, strict=True):  # all that is known, before Redis is asked again
            if answer in {"ended", "stopping"}:
                done.ending.append(open_.pop(task.pk))
            elif answer == "over" or task.state == TaskState.WAITING:
                over.append((task, turn))
            else:
                done.idle.append(open_.pop(task.pk))
        for task, turn in over:
            asked = [task]
            ends = queue.end_task(str(task.pk), turn=turn, state="cancelled")
            asked = []
            (done.ending if ends else done.idle).append(open_.pop(task.pk))
    except QueueRefused:
        done.untried += open_.values()
    except QueueUnavailable:
        done.unsure += asked
        done.untried += [task for task in open_.values() if task not in asked]
