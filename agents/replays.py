"""A task that has ended is run again by staff: a new task with the same input, revision and pool, linked to it by `rerun_of`.

A dead letter goes on where it was (`agents.dead_letters`). Any other begins anew with its input: its tools are called again, and it
stands beside its conversation, where its answer is written already or a person went on without it; and a budget of money that is
spent refuses it, as it would the tenant's own request. For all of them hold: one of each, by a unique constraint, so that a click
twice runs nothing twice; who wants it once more runs the new one again. No other limit of the tenant's refuses it, and nothing is
reserved for it; what it is served counts when it ends.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.db import transaction

from agents import dead_letters
from agents.dead_letters import RunAgainAlready, TenantInactive
from agents.limits import refusal_of_spent
from agents.models import Task, Turn


class NotEnded(Exception):
    """Only a task that has ended can be run again."""


class BudgetSpent(Exception):
    """The tenant, or the key that the task came with, has spent the month's money."""


REFUSALS: dict[type[Exception], str] = {
    NotEnded: "The task has not ended: cancel it first, or wait.",
    RunAgainAlready: "The task was run again before: run the new one again, if that is wanted.",
    TenantInactive: "The tenant is inactive: nothing is run for it.",
    BudgetSpent: "The month's budget of money is spent: raise it, or wait for the next month.",
}
"""Why a task is not run again, in words."""


def run_again(*, task: Task, redis_url: str, now: datetime, noted: Callable[[Task], object]) -> Task:
    """The new task. Raises what `REFUSALS` has. The commit counts: what the queue did not hear the sweep tells it.

    `noted` is called with it in the transaction that makes it: there its maker is written down.
    """
    with transaction.atomic():
        again, turn = dead_letters.accept(task, now=now) if task.is_dead_letter else _accept(task, now=now)
        noted(again)
    dead_letters.enqueue_again([(again, turn)], redis_url=redis_url)
    return again


def _accept(task: Task, *, now: datetime) -> tuple[Task, Turn]:
    ended = Task.objects.for_tenant(task.tenant_id).select_for_update().get(pk=task.pk)
    if ended.finished_at is None:
        raise NotEnded
    dead_letters.check_runs_again(ended)
    key = ended.api_key
    if refusal_of_spent(
        tenant_until=ended.tenant.budget_spent_until, key_until=key.budget_spent_until if key else None, now=now
    ):
        raise BudgetSpent
    again = dead_letters.copy_of(ended, now=now, input=ended.input)
    turn = Turn.objects.create(
        tenant_id=ended.tenant_id,
        task=again,
        queued_at=again.created_at,
        allowance=dead_letters.allowance_of(ended, now=now),
    )
    return again, turn
