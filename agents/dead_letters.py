"""Dead letters run again: a new task with the same input, linked to the one that failed, which stays as it is recorded."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from django.db import transaction
from django.db.models import Max

from agents.models import Conversation, Reply, Task, Turn
from agents.money import allowance
from agents.submissions import body_of, submission
from taskqueue.failures import QueueUnavailable
from taskqueue.messages import Submission
from taskqueue.sync_client import Queue
from telemetry import tracing

log = logging.getLogger(__name__)


class NotDeadLetter(Exception):
    """Only a task that failed because no worker could run it can be run again."""


class RunAgainAlready(Exception):
    """A dead letter is run again once; if that one dies, too, run it again in its turn."""


class TenantInactive(Exception):
    """Nothing is run for a tenant that is inactive: make it active first."""


@dataclass(slots=True)
class Reruns:
    """What came of a request to run tasks again; `refused` are tasks with the reason."""

    accepted: list[Task] = field(default_factory=list)
    refused: list[tuple[Task, Exception]] = field(default_factory=list)


def rerun_tasks(
    *,
    tasks: Sequence[Task],
    redis_url: str,
    now: datetime,
    noted: Callable[[Task, Task], object] | None = None,
) -> Reruns:
    """Run dead letters again. As with any acceptance the commit counts: what the queue did not hear the sweep tells it.

    `noted` is called with a dead letter and its new task, in the transaction that makes it: there its maker is written down.

    No limit of the tenant's refuses them, and nothing is reserved of its budgets; what they are served counts when they end.
    """
    done = Reruns()
    accepted: list[tuple[Task, Turn]] = []
    for task in tasks:
        try:
            with tracing.begun("run again", **{"opsite.rerun_of": str(task.pk)}), transaction.atomic():
                task_again, turn = accept(task, now=now)
                if noted is not None:
                    noted(task, task_again)
        except (NotDeadLetter, RunAgainAlready, TenantInactive) as refusal:
            done.refused.append((task, refusal))
        else:
            done.accepted.append(task_again)
            accepted.append((task_again, turn))
    enqueue_again(accepted, redis_url=redis_url)
    return done


def enqueue_again(accepted: Sequence[tuple[Task, Turn]], *, redis_url: str) -> None:
    """Tell the queues of tasks that are committed; where one does not answer, the sweep tells it."""
    by_pool: defaultdict[str, list[Submission]] = defaultdict(list)
    for task, turn in accepted:
        by_pool[task.pool.slug].append(_submission(task, turn))
    for pool, submissions in by_pool.items():
        queue = Queue(redis_url, pool)
        try:
            queue.enqueue(submissions)
        except QueueUnavailable as error:
            log.warning("pool %s: %d tasks wait for the sweep: %s", pool, len(submissions), error)
        finally:
            queue.close()


@transaction.atomic
def accept(task: Task, *, now: datetime) -> tuple[Task, Turn]:
    """The new task and its turn, committed and not enqueued yet; raises what refuses it."""
    # In this order others lock them, too. A conversation that is being deleted is gone from the task by then.
    if task.conversation_id:
        list(Conversation.objects.for_tenant(task.tenant_id).select_for_update().filter(pk=task.conversation_id))
    dead = Task.objects.for_tenant(task.tenant_id).select_for_update().get(pk=task.pk)
    if not dead.is_dead_letter:
        raise NotDeadLetter
    check_runs_again(dead)
    again = copy_of(dead, now=now, input=_said(dead), conversation_id=dead.conversation_id)
    allowed = allowance_of(dead, now=now)
    _reply_again(dead, again)
    turn = Turn.objects.create(tenant_id=dead.tenant_id, task=again, queued_at=again.created_at, allowance=allowed)
    return again, turn


def check_runs_again(ended: Task) -> None:
    """Raise what keeps a task, whose row is locked, from being run again."""
    if Task.objects.for_tenant(ended.tenant_id).filter(rerun_of=ended).exists():
        raise RunAgainAlready
    if not ended.tenant.is_active:
        raise TenantInactive


def copy_of(ended: Task, *, now: datetime, **changes: Any) -> Task:
    """A new task's row that asks for what this one asked for; a deadline that has passed is left out."""
    return Task.objects.create(
        tenant_id=ended.tenant_id,
        agent_id=ended.agent_id,
        revision_id=ended.revision_id,
        pool_id=ended.pool_id,
        api_key_id=ended.api_key_id,
        submitted_by=ended.submitted_by,
        params=ended.params,
        output_form=ended.output_form,
        options=ended.options,
        priority=ended.priority,
        deadline_at=ended.deadline_at if ended.deadline_at and ended.deadline_at > now else None,
        metadata=ended.metadata,
        rerun_of=ended,
        trace=tracing.place(),
        **changes,
    )


def allowance_of(dead: Task, *, now: datetime) -> dict[str, int] | None:
    """What the first turn of its second run may cost: its agent's limit anew."""
    limit = dead.revision.limits.get("max_cost")
    left = [] if limit is None else [Decimal(limit)]
    allowed = allowance(left, prices=dead.pool.token_prices, now=now)
    return None if allowed is None else msgspec.to_builtins(allowed)


def _reply_again(dead: Task, again: Task) -> None:
    """It answers in the conversation what the dead letter was to answer."""
    before = Reply.objects.for_tenant(dead.tenant_id).filter(task=dead).first()
    if before is None or before.question_number is None:
        return
    replies = Reply.objects.for_tenant(dead.tenant_id).filter(conversation_id=before.conversation_id)
    last = replies.aggregate(last=Max("number"))["last"]
    Reply.objects.create(
        tenant_id=dead.tenant_id,
        task=again,
        conversation_id=before.conversation_id,
        number=last + 1,
        line=again.pk,
        said=before.said,
        after_number=before.after_number,
        question_number=before.question_number,
    )


def _said(dead: Task) -> str | list[dict[str, Any]]:
    """All that its last turn was sent: it goes on there, and no tool is called again."""
    if isinstance(dead.input, str):
        return dead.input
    return [*dead.input, *(message for turn in dead.turns.order_by("number") for message in turn.context)]


def _submission(task: Task, turn: Turn) -> Submission:
    return submission(
        turn=str(turn.pk),
        task=str(task.pk),
        tenant=str(task.tenant_id),
        key=str(task.api_key_id or ""),
        body=body_of(task.input, task.params, task.options, output_form=task.output_form, allowance=turn.allowance),
        weight=task.tenant.weight,
        max_running=task.tenant.max_running,
        key_max_running=task.api_key.max_running if task.api_key else 0,
        priority=task.priority,
        deadline_ms=round(task.deadline_at.timestamp() * 1000) if task.deadline_at else 0,
        trace=task.trace,
    )
