"""What staff does with a task: each is written into the audit log with the change that it is."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.http import HttpRequest

from agents import replays
from agents.cancelling import cancel_for_staff
from agents.lifecycle import OUTCOMES
from agents.models import Task
from audit.recording import record


class NothingToCancel(Exception):
    """The task has ended already, or the queue does not know it just now."""


class NotAnswered(Exception):
    """Redis did not answer."""


def cancel(*, request: HttpRequest, task: Task) -> None:
    """Ask for the task's end. Raises `NothingToCancel` and `NotAnswered`, with the reason in words."""
    if task.state in OUTCOMES:
        raise NothingToCancel(f"The task has ended already: {task.state}.")
    done = cancel_for_staff(request=request, tasks=[task], redis_url=settings.REDIS_URL)
    if done.idle:
        raise NothingToCancel(
            "The queue does not know the task at this moment: it has just ended, or is brought back within seconds. Look again."
        )
    if done.untried:
        raise NotAnswered("Redis does not answer: nothing was cancelled.")
    if done.unsure:
        raise NotAnswered("Redis went away before it answered: whether the task is ending is not known. Look again.")


def retry(*, request: HttpRequest, task: Task, now: datetime) -> Task:
    """Run a task that has ended again; the new one. Raises what `agents.replays.REFUSALS` has."""

    def noted(again: Task) -> None:
        record(request, "task.retry", task, after={"run_again_as": str(again.pk)})

    return replays.run_again(task=task, redis_url=settings.REDIS_URL, now=now, noted=noted)
