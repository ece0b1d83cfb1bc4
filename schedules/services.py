"""Changes to schedules. They are fired by schedules.firing."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

import msgspec
from django.db import IntegrityError, transaction

from agents.faces.requests import TaskRequest, convert
from agents.models import Agent, Conversation
from agents.problems import FieldError, Problem, bad_field, missing_scope
from agents.sampling import validated
from schedules.models import Firing, Schedule
from schedules.timing import BadTiming, check, coming
from tenants.models import ApiKey, Tenant

SUBMITS = "tasks:write"
SCHEDULES_MAX = 1000
"""Schedules that a tenant may have."""


class NameTaken(Problem):
    """409: the tenant has a schedule of that name."""

    def __init__(self, name: str) -> None:
        message = f"there is a schedule {name!r} already; choose another"
        super().__init__(409, "conflict", f"name: {message}", errors=(FieldError("name", message),))


class TooMany(Problem):
    """409: the tenant has as many schedules as it may have."""

    def __init__(self) -> None:
        super().__init__(409, "too_many_schedules", f"A tenant may have {SCHEDULES_MAX} schedules; delete one first.")


def create_schedule(*, tenant: Tenant, key: ApiKey, said: dict[str, Any], now: datetime) -> Schedule:
    """A schedule that fires from now on, in the name of `key`. `said` has the fields of the API's form."""
    schedule = Schedule(tenant=tenant, created_by=str(key))
    if Schedule.objects.for_tenant(tenant).count() >= SCHEDULES_MAX:
        raise TooMany
    _write(schedule, key, said, now=now)
    return schedule


@transaction.atomic
def change_schedule(*, schedule: Schedule, key: ApiKey, said: dict[str, Any], now: datetime) -> Schedule:
    """What is left out stays; from now on it runs in the name of `key`. Enabled again, it forgets its failures."""
    row = Schedule.objects.for_tenant(schedule.tenant_id).select_for_update().get(pk=schedule.pk)
    _write(row, key, said, now=now)
    return row


@transaction.atomic
def pause(*, schedule: Schedule) -> None:
    """It fires no more until it is enabled again."""
    Schedule.objects.for_tenant(schedule.tenant_id).filter(pk=schedule.pk).update(
        is_enabled=False, next_at=None, retry_at=None
    )


@transaction.atomic
def resume(*, schedule: Schedule, now: datetime) -> None:
    """It fires from now on; what was missed while it was paused is not made good."""
    row = Schedule.objects.for_tenant(schedule.tenant_id).select_for_update().get(pk=schedule.pk)
    if not row.is_enabled:
        row.is_enabled = True
        _begin(row, now=now)
        row.save()


def forget_firings(*, before: datetime) -> int:
    """What came of firings before that moment is forgotten, their tasks are not; returns how many rows went."""
    gone, _ = Firing.objects.across_tenants().filter(created_at__lt=before).delete()
    return gone


def _write(schedule: Schedule, key: ApiKey, said: dict[str, Any], *, now: datetime) -> None:
    if key.scopes and SUBMITS not in key.scopes:
        raise missing_scope(SUBMITS)
    if "task" in said:
        schedule.agent, schedule.task = _checked(schedule.tenant, said["task"])
    for name in ("name", "cron", "time_zone", "catch_up", "overlap"):
        setattr(schedule, name, said.get(name, getattr(schedule, name)))
    try:
        check(schedule.cron, schedule.time_zone)
    except BadTiming as error:
        raise bad_field(error.field, str(error)) from error
    was_enabled, schedule.is_enabled = schedule.is_enabled, said.get("is_enabled", schedule.is_enabled)
    schedule.api_key = key
    if not schedule.is_enabled:
        schedule.next_at = schedule.retry_at = None
    elif schedule._state.adding or not was_enabled or {"cron", "time_zone"} & said.keys():
        _begin(schedule, now=now)
    try:
        with transaction.atomic():
            schedule.save()
    except IntegrityError as error:
        if "schedule_name_per_tenant" not in str(error):
            raise
        raise NameTaken(schedule.name) from error


def _begin(schedule: Schedule, *, now: datetime) -> None:
    """The first nominal time after now, with nothing of what was before."""
    schedule.next_at = next(coming(schedule.cron, schedule.time_zone, after=now), None)
    if schedule.next_at is None:
        raise bad_field("cron", "names no moment of the next fifty years")
    schedule.failures, schedule.last_error, schedule.paused_at, schedule.retry_at = 0, None, None, None


def _checked(tenant: Tenant, task: dict[str, Any]) -> tuple[Agent, dict[str, Any]]:
    """The agent and the request of a task, or the problem that names what does not fit."""
    try:
        request = convert(task, TaskRequest)
    except Problem as problem:
        first = problem.errors[0]
        raise bad_field(f"task.{first.field}" if first.field != "body" else "task", first.message) from problem
    for name in ("idempotency_key", "deadline_at", "cancel_on_disconnect"):
        if name in task:
            raise bad_field(f"task.{name}", "has no meaning for a task that is submitted again and again")
    for name in ("prompt", "embed", "truncate"):
        if name in task:
            raise bad_field(f"task.{name}", "is not supported in a schedule; give `input` or `messages`")
    if (request.input is None) == (not request.messages):
        raise bad_field("task.input", "give either `input` (a string) or `messages`")
    if not 0 <= request.priority <= 9:
        raise bad_field("task.priority", "must be between 0 (first) and 9 (last)")
    validated(request.parameters, field="task.parameters")
    slug = request.agent.partition("@")[0]
    agent = Agent.objects.for_tenant(tenant).filter(slug=slug, archived_at__isnull=True).first()
    if agent is None:
        raise bad_field("task.agent", f"there is no agent {slug!r}")
    if request.conversation is not None and not _is_conversation(tenant, request.conversation):
        raise bad_field("task.conversation", "there is no such conversation")
    return agent, msgspec.to_builtins({**task, "agent": request.agent})


def _is_conversation(tenant: Tenant, name: str) -> bool:
    try:
        return Conversation.objects.for_tenant(tenant).filter(pk=uuid.UUID(name)).exists()
    except ValueError:
        return False
