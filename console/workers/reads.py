"""What Postgres knows of a worker: its row, the turns that it holds with their tasks, its last hour, its pool's usual start."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from agents.models import Turn
from console.frame import NotFound
from console.workers.history import Rates, Word, rates
from orchestrator import typical
from orchestrator.models import Worker
from orchestrator.work_rows import WorkMinute

TURNS_SHOWN = 64
SHOWN_S = 3600


def find(worker: str | uuid.UUID) -> Worker:
    """Its row, with pool and revision. Raises `NotFound`."""
    try:
        return Worker.objects.select_related("pool", "revision").get(pk=uuid.UUID(str(worker)))
    except (Worker.DoesNotExist, ValueError) as error:
        raise NotFound("There is no such worker.") from error


def turns(held: Sequence[str]) -> list[Turn]:
    """The turns that it holds by the queue's word, with task, agent and tenant; one that Postgres does not know is left out."""
    known = [parsed for turn in held[:TURNS_SHOWN] if (parsed := _uuid(turn)) is not None]
    rows = Turn.objects.across_tenants().filter(pk__in=known)
    fields = ("number", "attempts", "claimed_at", "task", "tenant__name", "tenant__slug", "task__agent__slug")
    return (
        list(rows.select_related("task__agent", "tenant").only(*fields).order_by("claimed_at", "pk")) if known else []
    )


def last_hour(worker: Worker, *, now: datetime) -> Rates:
    """Minute by minute."""
    rows = WorkMinute.objects.filter(worker=worker, minute__gte=now - timedelta(seconds=SHOWN_S)).order_by("minute")
    found = rows.values_list("at", "sequences", "busy_ms")
    return rates([Word(at.timestamp(), tokens, busy_ms / 1000) for at, tokens, busy_ms in found])


def tokens_heard(worker: Worker) -> int | None:
    """What it had made by its last recorded heartbeat; None: none was recorded, or it is forgotten."""
    rows = WorkMinute.objects.filter(worker=worker).order_by("-minute")
    return rows.values_list("sequences", flat=True).first()


def usual_start(worker: Worker) -> Mapping[str, float]:
    """The middle one of the last starts of its pool on its runtime, phase by phase (s); empty where none was measured."""
    return typical.phases_of(worker.pool, runtime=worker.runtime)


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
