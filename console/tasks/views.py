"""The page of a task, and its two actions."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from agents.models import Task
from agents.replays import REFUSALS
from console.frame import NotFound, StaffRequest, render_page, staff_page
from console.tasks import actions
from console.tasks.page import commands_of, page_of
from console.tasks.reads import find, rows_of
from staff.access import NotForRole


@staff_page(for_tenant_administrators=True)
@require_GET
def task(request: StaffRequest, task_id: uuid.UUID) -> HttpResponse:
    """What it is, was and said."""
    try:
        rows = rows_of(request.access, task_id)
    except NotFound as missing:
        raise Http404(str(missing)) from None
    return render_page(
        request,
        "console/tasks/task.html",
        title=f"Task …{str(task_id)[-12:]}",
        trail=[("Tasks", reverse("admin:agents_task_changelist"))],
        task=rows.task,
        page=page_of(rows, now=timezone.now()),
        sees_fleet=request.access.sees_all_tenants,
        may_change=request.access.may_change(rows.task.tenant_id),
    )


@staff_page(for_tenant_administrators=True)
@require_GET
def curl(request: StaffRequest, task_id: uuid.UUID) -> HttpResponse:
    """Its commands alone, as text, however long they are."""
    return HttpResponse(commands_of(_found(request, task_id)), content_type="text/plain; charset=utf-8")


@staff_page(for_tenant_administrators=True)
@require_POST
def cancel(request: StaffRequest, task_id: uuid.UUID) -> HttpResponse:
    """Ask for its end."""
    found = _to_change(request, task_id)
    try:
        actions.cancel(request=request, task=found)
    except actions.NothingToCancel as refusal:
        messages.warning(request, str(refusal))
    except actions.NotAnswered as failure:
        messages.error(request, str(failure))
    else:
        messages.success(request, "The task is being cancelled: it ends when its worker has let it go.")
    return redirect("console:task", task_id=task_id)


@staff_page(for_tenant_administrators=True)
@require_POST
def retry(request: StaffRequest, task_id: uuid.UUID) -> HttpResponse:
    """Run it again, as a new task, whose page comes next."""
    found = _to_change(request, task_id)
    try:
        again = actions.retry(request=request, task=found, now=timezone.now())
    except tuple(REFUSALS) as refusal:
        messages.warning(request, REFUSALS[type(refusal)])
        return redirect("console:task", task_id=task_id)
    messages.success(request, f"This new task runs …{str(task_id)[-12:]} again.")
    return redirect("console:task", task_id=again.pk)


def _to_change(request: StaffRequest, task_id: uuid.UUID) -> Task:
    """The task, if the viewer sees it (else 404) and may change it (else 403)."""
    found = _found(request, task_id)
    if not request.access.may_change(found.tenant_id):
        raise NotForRole("operators and administrators of its tenant")
    return found


def _found(request: StaffRequest, task_id: uuid.UUID) -> Task:
    try:
        return find(request.access, task_id)
    except NotFound as missing:
        raise Http404(str(missing)) from None
