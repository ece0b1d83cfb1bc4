"""The playground's page and its actions. Whoever may change a tenant's things may run its agents; viewers look only."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseBase
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from agents.models import Task
from agents.problems import bad_field, not_found
from agents.services import cancel_tasks
from audit.recording import record
from comparisons.models import InputSet
from comparisons.services import create_input_set, extend_input_set
from console.frame import StaffRequest, render_page, staff_page
from console.playground import choices
from console.playground.answering import agent_of, answers_json, asked, tenant_of
from console.playground.asked import SIDES_MAX, Run, Saved
from console.playground.results import result_of, tasks_of
from console.playground.runs import submit_sides

for_all_staff = staff_page(for_tenant_administrators=True)


class Stopped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tasks that are to end."""

    tasks: list[str]


@for_all_staff
@require_GET
def page(request: StaffRequest) -> HttpResponseBase:
    """The page; `?tenant=…&agent=…&revision=…` fill it in."""
    own = choices.tenants_of(request.access).first() if request.access.tenant_id else None
    return render_page(
        request,
        "console/playground/page.html",
        title="Playground",
        trail=[],
        own_tenant=own,
        asked={
            "tenant": own.slug if own else request.GET.get("tenant", ""),
            "agent": request.GET.get("agent", ""),
            "revision": request.GET.get("revision", ""),
        },
        may_run=request.access.is_operator or own is not None,
    )


@for_all_staff
@require_GET
@answers_json
def suggest_tenants(request: StaffRequest) -> dict[str, Any]:
    """Tenants for what was typed (`?q=`)."""
    return {"found": choices.tenants(request.access, _typed(request))}


@for_all_staff
@require_GET
@answers_json
def suggest_agents(request: StaffRequest, slug: str) -> dict[str, Any]:
    """A tenant's agents for what was typed (`?q=`)."""
    return {"found": choices.agents(tenant_of(request, slug), _typed(request))}


@for_all_staff
@require_GET
@answers_json
def agent(request: StaffRequest, slug: str, agent_slug: str) -> dict[str, Any]:
    """An agent's revisions and test sets."""
    return choices.agent(agent_of(tenant_of(request, slug), agent_slug))


@for_all_staff
@require_POST
@answers_json
def run(request: StaffRequest) -> dict[str, Any]:
    """Run one agent, or two side by side; each side answers for itself."""
    _may_run(request)
    wanted = asked(request, Run)
    tenant = tenant_of(request, wanted.tenant, to_run=True)
    for number, side in enumerate(wanted.sides):
        known = agent_of(tenant, side.agent)
        if side.revision is not None and not known.revisions.filter(number=side.revision).exists():
            raise not_found(f"revision {side.revision} of the agent on side {number + 1}")
    sides = async_to_sync(submit_sides)(
        wanted,
        tenant=tenant.pk,
        member=request.user.get_username(),
        database_url=settings.DATABASE_URL,
        redis_url=settings.REDIS_URL,
    )
    for task in tasks_of(request.access, [uuid.UUID(side["task"]) for side in sides if "task" in side]):
        record(request, "task.submit", task, after={"agent": task.agent.slug, "revision": task.revision.number})
    return {"sides": [{**side, **_links(side)} for side in sides]}


@for_all_staff
@require_POST
@answers_json
def stop(request: StaffRequest) -> dict[str, Any]:
    """End what runs. It ends when its worker has let it go; the stream says so."""
    _may_run(request)
    tasks = _tasks(request, asked(request, Stopped).tasks)
    if not all(request.access.may_change(task.tenant_id) for task in tasks):
        raise PermissionDenied
    asked_to_end = cancel_tasks(tasks=tasks, redis_url=settings.REDIS_URL)
    for task in tasks:
        record(request, "task.cancel", task)
    return {"stopped": asked_to_end}


@for_all_staff
@require_GET
@answers_json
def result(request: StaffRequest, task: uuid.UUID) -> dict[str, Any]:
    """What has come of a task, as Postgres has it: a moment after its stream told the outcome it has `ended` there, too."""
    (found,) = _tasks(request, [str(task)])
    return result_of(found)


@for_all_staff
@require_POST
@answers_json
def save(request: StaffRequest) -> dict[str, Any]:
    """Keep the input as a test: in a new set, alone or behind the inputs of one that there is."""
    _may_run(request)
    wanted = asked(request, Saved)
    tenant = tenant_of(request, wanted.tenant, to_run=True)
    known = agent_of(tenant, wanted.agent)
    item = {"messages": msgspec.to_builtins(wanted.messages), "checks": wanted.checks}
    made: dict[str, Any] = {"name": wanted.name, "items": [item], "created_by": request.user.get_username()}
    if wanted.base is None:
        saved = create_input_set(agent=known, **made)
    else:
        base = InputSet.objects.for_tenant(tenant).filter(agent=known, pk=_id(wanted.base, "test set")).first()
        if base is None:
            raise not_found("test set")
        saved = extend_input_set(input_set=base, **made)
    return {
        "name": saved.name,
        "inputs": len(saved.items),
        "page": reverse("admin:comparisons_inputset_change", args=[saved.pk]),
    }


def _may_run(request: StaffRequest) -> None:
    """Whatever it is that they ask for. Raises `PermissionDenied` for viewers."""
    if not (request.access.is_operator or request.access.tenant_id):
        raise PermissionDenied


def _typed(request: StaffRequest) -> str:
    """What was typed so far; no name has a NUL, and Postgres would refuse it."""
    return request.GET.get("q", "").replace("\0", "").strip()


def _tasks(request: StaffRequest, ids: list[str]) -> list[Task]:
    """The tasks, or 404 if one of them is not there, or not this viewer's to see."""
    if not 1 <= len(ids) <= SIDES_MAX:
        raise bad_field("task", f"between 1 and {SIDES_MAX} are followed at a time")
    wanted = {_id(one, "task") for one in ids}
    tasks = list(tasks_of(request.access, wanted))
    if len(tasks) != len(wanted):
        raise not_found("task")
    return tasks


def _id(text: str, what: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise not_found(what) from None


def _links(side: dict[str, Any]) -> dict[str, str]:
    """Where the task's page is, and its stream, which is one of the hot routes (`console.tasks.stream`)."""
    if "task" not in side:
        return {}
    page = reverse("console:task", args=[side["task"]])
    return {"page": page, "events": page + "events"}
