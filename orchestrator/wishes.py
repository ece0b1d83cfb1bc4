"""What staff may want of one worker: that it drains, or is killed. The wish is written into its row; the leader carries it out.

So it holds whoever leads, and is forgotten by nobody: see `orchestrator.dismissal`.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import transaction

from orchestrator.models import Worker

Wish = Worker.Wish


class NotPossible(Exception):
    """This worker cannot be asked for it (any more): the message says why."""


def drain(worker: uuid.UUID, *, by: str, now: datetime) -> Worker:
    """Have it hand over its turns and end. Raises `Worker.DoesNotExist`, and `NotPossible` where it ends already."""
    return _wish(worker, Wish.DRAIN, by=by, now=now)


def kill(worker: uuid.UUID, *, by: str, now: datetime) -> Worker:
    """Have it killed at once; others take over its turns. It may drain already. Raises as `drain`."""
    return _wish(worker, Wish.KILL, by=by, now=now)


def refusal(worker: Worker, wish: Wish) -> str:
    """Why that cannot be wished of it now; empty if it can."""
    if worker.state not in Worker.LIVE:
        return f"Worker {worker} has ended already."
    if worker.wish == Wish.KILL:
        return f"{worker.wished_by} has had worker {worker} killed already."
    if wish == Wish.DRAIN and (worker.wish or worker.state == Worker.State.DRAINING):
        return f"Worker {worker} hands over already. Kill it, if that takes too long."
    return ""


def _wish(worker: uuid.UUID, wish: Wish, *, by: str, now: datetime) -> Worker:
    with transaction.atomic():
        row = Worker.objects.select_for_update(of=("self",)).select_related("pool").get(pk=worker)
        if said := refusal(row, wish):
            raise NotPossible(said)
        row.wish, row.wished_by, row.wished_at = wish, by, now
        row.save(update_fields=["wish", "wished_by", "wished_at"])
    return row
