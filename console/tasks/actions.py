"""What staff does with a task: each is written into the audit log with the change that it is."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest

from agents import replays
from agents.lifecycle import OUTCOMES
from agents.models import Task
from agents.services import cancel_tasks
from audit.recording import record


class NothingToCancel(Exception):
    """The task has ended already, or the queue does not know it just now."""


def cancel(*, request: HttpRequest, task: Task) -> None:
    """Ask for the task's end. Raises `NothingToCancel`, with the reason in words, and `QueueUnavailable`: then nothing was done."""
    if task.state in OUTCOMES:
        raise NothingToCancel(f"The task has ended already: {task.state}.")
    with transaction.atomic():
        record(request, "task.cancel", task, before={"state": task.state})
        if not cancel_tasks(tasks=[task], redis_url=settings.REDIS_URL):
            raise NothingToCancel(
                "The queue does not know the task at this moment: it has just ended, or is brought back within seconds. Look again."
            )


def retry(*, request: HttpRequest, task: Task, now: datetime) -> Task:
    """Run a task that has ended again; the new one. Raises what `agents.replays.REFUSALS` has."""

    def noted(again: Task) -> None:
        record(request, "task.retry", task, after={"run_again_as": str(again.pk)})

    return replays.run_again(task=task, redis_url=settings.REDIS_URL, now=now, noted=noted)
