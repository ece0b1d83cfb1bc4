"""What a member of staff does to a worker, with its entry in the audit log: the same for the worker's page and for the list."""

from __future__ import annotations

import uuid

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from audit.recording import record
from orchestrator import wishes
from orchestrator.models import Worker

_ASK = {Worker.Wish.DRAIN: wishes.drain, Worker.Wish.KILL: wishes.kill}


def end(request: HttpRequest, worker: uuid.UUID, wish: Worker.Wish) -> Worker:
    """Have it drained or killed in the name of the request's user. Raises as `orchestrator.wishes` does."""
    with transaction.atomic():
        row = _ASK[wish](worker, by=request.user.get_username(), now=timezone.now())
        record(request, f"worker.{wish.value}", row, after={"state": row.state, "wish": wish.value})
    return row
