"""The turns that came to a pool, as its trials take them: moments of them all, whosever they are, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, timedelta
from uuid import UUID

from django.db.models import FloatField
from django.db.models.functions import Cast, Extract

from agents.lifecycle import TaskState
from agents.models import Turn
from orchestrator import records
from orchestrator.rehearsal.recorded import MOST_TURNS, Passed

LOOKED_BACK = timedelta(hours=1)
"""Turns come to tasks that began before, by so much at most where the span begins."""


def passed(pool: UUID, since: float, until: float) -> Sequence[Passed]:
    """Those that came from `since` until before `until` (Unix s), the last ones of very many; one query, by an index of tasks."""
    begin, end = records.moment(since), records.moment(until)
    rows = Turn.objects.across_tenants().filter(
        task__pool=pool,
        task__created_at__gte=begin - LOOKED_BACK,
        task__created_at__lt=end,
        queued_at__gte=begin,
        queued_at__lt=end,
    )
    come = rows.exclude(state=TaskState.WAITING)  # for its conversation
    moments = come.order_by("-queued_at").values_list(*map(_unix, ("queued_at", "claimed_at", "finished_at")), "state")
    return [
        Passed(queued, claimed, finished, given_up=claimed is None and state == TaskState.CANCELLED)
        for queued, claimed, finished, state in moments[: 2 * MOST_TURNS]
    ]


def _unix(field: str) -> Cast:
    """Made a number by Postgres: that many datetimes would keep the web process from its work."""
    return Cast(Extract(field, "epoch", tzinfo=UTC), FloatField())
