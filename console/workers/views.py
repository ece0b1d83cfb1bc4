"""A worker's page, and the two that end it: each asks first, and says afterwards what happens now."""

from __future__ import annotations

import json
import uuid
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from console.confirming import confirm
from console.frame import NotFound, StaffRequest, render_page, staff_page
from console.workers import reads, state
from console.workers.words import ASKED, DONE
from orchestrator import masking, wishes
from orchestrator.models import Worker
from orchestrator.worker_actions import end

Wish = Worker.Wish


@require_safe
@staff_page()
def page(request: StaffRequest, worker: uuid.UUID) -> HttpResponseBase:
    """One worker, live."""
    row = _found(worker)
    drawn = {
        **state.snapshot(row, now=timezone.now()),
        "id": str(row.pk),
        "runtime": row.runtime,
        "usual_phases": state.phases(reads.usual_start(row)),
    }
    return render_page(
        request,
        "console/workers/page.html",
        title=f"Worker {_short(row)}",
        trail=_trail(row),
        worker=row,
        revision=row.revision,
        may_end=request.access.is_operator,
        engine_args=json.dumps(masking.arguments(row.revision.engine_args), indent=2)
        if row.revision.engine_args
        else "",
        env_names=sorted(row.revision.env),
        state=drawn,
    )


@require_http_methods(["GET", "HEAD", "POST"])
@staff_page(operators_only=True)
def drain(request: StaffRequest, worker: uuid.UUID) -> HttpResponseBase:
    """Have it hand over and end."""
    return _end(request, worker, Wish.DRAIN)


@require_http_methods(["GET", "HEAD", "POST"])
@staff_page(operators_only=True)
def kill(request: StaffRequest, worker: uuid.UUID) -> HttpResponseBase:
    """Have it killed."""
    return _end(request, worker, Wish.KILL)


def _end(request: StaffRequest, worker: uuid.UUID, wish: Worker.Wish) -> HttpResponseBase:
    row = _found(worker)
    if request.method != "POST" and (refusal := wishes.refusal(row, wish)):
        messages.error(request, refusal)
        return HttpResponseRedirect(_url(row))
    return confirm(
        request,
        "console/workers/confirm.html",
        title=f"{wish.label} worker {_short(row)}",
        trail=[*_trail(row), (f"Worker {_short(row)}", _url(row))],
        does=f"{wish.label} it",
        do=lambda: _do(request, row, wish),
        back=_url(row),
        kind="danger" if wish is Wish.KILL else "",
        worker=row,
        asked=ASKED[wish],
    )


def _do(request: HttpRequest, row: Worker, wish: Worker.Wish) -> None:
    try:
        end(request, row.pk, wish)
    except wishes.NotPossible as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, DONE[wish])


def _found(worker: uuid.UUID) -> Worker:
    try:
        return reads.find(worker)
    except NotFound as missing:
        raise Http404(str(missing)) from missing


def _trail(row: Worker) -> list[tuple[str, Any]]:
    workers = reverse("admin:orchestrator_worker_changelist")
    return [("Workers", workers), (row.pool.slug, f"{workers}?pool__id__exact={row.pool_id}")]


def _short(row: Worker) -> str:
    return str(row.pk)[-8:]


def _url(row: Worker) -> str:
    return reverse("console:worker", args=[row.pk])
