"""What the page of a task reads: a fixed number of queries, each bounded, whatever the task is."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

from agents.models import Reply, Task, ToolCall, Turn
from batches.identifiers import BATCH, row_of
from batches.models import Batch
from comparisons.models import ComparisonRun
from console.frame import NotFound
from orchestrator.models import Worker
from schedules.models import Firing
from staff.access import Access

TURNS_MAX = 100
CALLS_MAX = 400
"""A page shows so many of the first; it says so if there are more."""


@dataclass(slots=True)
class Neighbours:
    """A task's place in its conversation: the tasks before and after it, and those of its line for whose ends it waits."""

    before: Reply | None = None
    after: Reply | None = None
    waits_for: list[Reply] = field(default_factory=list)


@dataclass(slots=True)
class TaskRows:
    """A task with all rows that the page shows of it. `workers` are those that are still known, by id."""

    task: Task
    turns: list[Turn]
    calls: list[ToolCall]
    workers: dict[str, Worker]
    reply: Reply | None
    neighbours: Neighbours
    batch: Batch | None
    firing: Firing | None
    run: ComparisonRun | None
    has_more: bool = False

    @property
    def is_held(self) -> bool:
        """It has not come to its place in its conversation."""
        return self.reply is not None and self.reply.question_number is None

    @property
    def children(self) -> dict[str, Task]:
        """The tasks that its calls handed over, by the call's row."""
        return {str(call.pk): call.child for call in self.calls if hasattr(call, "child")}


def find(access: Access, task: uuid.UUID) -> Task:
    """The task itself, or `NotFound`."""
    known = Task.objects.across_tenants().select_related(
        "tenant", "agent", "revision", "pool", "api_key", "conversation", "rerun", "parent_call"
    )
    found = access.rows(known.defer(*_long("rerun"))).filter(pk=task).first()
    if found is None:
        raise NotFound("There is no such task.")
    return found


def _long(relation: str) -> list[str]:
    """What of another task is long, and not shown here."""
    return [f"{relation}__{name}" for name in ("input", "output", "logprobs", "options", "metadata", "tool_calls")]


def rows_of(access: Access, task_id: uuid.UUID) -> TaskRows:
    """All of it, or `NotFound`."""
    task = find(access, task_id)
    turns = list(Turn.objects.for_tenant(task.tenant_id).filter(task=task).order_by("number")[: TURNS_MAX + 1])
    calls = list(
        ToolCall.objects.for_tenant(task.tenant_id)
        .filter(task=task)
        .select_related("child")
        .defer(*_long("child"))
        .order_by("turn__number", "number")[: CALLS_MAX + 1]
    )
    shown = turns[:TURNS_MAX]
    reply = Reply.objects.for_tenant(task.tenant_id).filter(task=task).first() if task.conversation_id else None
    return TaskRows(
        task=task,
        turns=shown,
        calls=calls[:CALLS_MAX],
        workers=_workers(shown),
        reply=reply,
        neighbours=Neighbours() if reply is None else _neighbours(reply),
        batch=_batch(task),
        firing=Firing.objects.for_tenant(task.tenant_id).filter(task=task).select_related("schedule").first(),
        run=ComparisonRun.objects.for_tenant(task.tenant_id).filter(task=task).select_related("comparison").first(),
        has_more=len(turns) > TURNS_MAX or len(calls) > CALLS_MAX,
    )


def _workers(turns: Iterable[Turn]) -> dict[str, Worker]:
    named = {turn.worker for turn in turns}
    named |= {attempt.get("worker") or "" for turn in turns for attempt in (turn.attempt_log or {}).values()}
    known = Worker.objects.filter(pk__in=[name for name in named if _is_id(name)]).select_related("pool")
    return {str(worker.pk): worker for worker in known.defer("log_tail")}


def _is_id(name: str) -> bool:
    try:
        uuid.UUID(name)
    except ValueError:
        return False
    return True


def _neighbours(reply: Reply) -> Neighbours:
    others = Reply.objects.for_tenant(reply.tenant_id).filter(conversation_id=reply.conversation_id)
    return Neighbours(
        before=others.filter(number__lt=reply.number).order_by("-number").first(),
        after=others.filter(number__gt=reply.number).order_by("number").first(),
        waits_for=list(others.filter(line=reply.line, number__lt=reply.number, over=False).order_by("number")[:10])
        if reply.question_number is None
        else [],
    )


def _batch(task: Task) -> Batch | None:
    named = task.metadata.get("batch") if isinstance(task.metadata, dict) else None
    identifier = row_of(BATCH, named) if isinstance(named, str) else None
    return None if identifier is None else Batch.objects.for_tenant(task.tenant_id).filter(pk=identifier).first()
