"""Forecasts made and read. They are made by a job of their own, far from the control loop, which reads what was made last."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from django.db import connection

from orchestrator import records
from orchestrator.demand_rows import DemandForecast, DemandMinute
from orchestrator.history.curve import Curve
from orchestrator.history.minutes import MINUTE_S
from orchestrator.models import ScalingPolicy

LOOK_BACK_S = 28 * 86_400.0
"""As much of the past as a forecast uses."""


def renew(*, now: float) -> int:
    """Make the forecasts of all pools whose policy asks for one; returns how many pools these are.

    What is slow to load is loaded here, so that only the process that makes forecasts has it.
    """
    asked = ScalingPolicy.objects.filter(kind=ScalingPolicy.Kind.FORECAST).values_list("pool_id", flat=True)
    rows = [row_of(pool, foreseen(pool, now=now), now=now) for pool in asked]
    DemandForecast.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["pool"],
        update_fields=["made_at", "begins_at", "step_s", "turns_per_s", "error", "plain_error", "season"],
    )
    DemandForecast.objects.exclude(pool__in=[row.pool_id for row in rows]).delete()
    return len(rows)


def foreseen(pool: UUID, *, now: float) -> Curve | None:
    """A pool's forecast by its recorded demand; None while too little is recorded."""
    from orchestrator.history import seasons

    steps = rates(pool, step_s=seasons.STEP_S, since=now - LOOK_BACK_S)
    return seasons.forecast(seasons.history_of(steps, ends_at=now), made_at=now)


def rates(pool: UUID, *, step_s: float, since: float) -> Mapping[int, float]:
    """Recorded turns/s by the number of their step since 1970; where some minutes of a step are missing, by the others."""
    table = DemandMinute._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT floor(extract(epoch FROM minute) / %s)::bigint, sum(arrived)::float / (count(*) * %s) "
            f"FROM {table} WHERE pool_id = %s AND minute >= %s GROUP BY 1",
            [step_s, MINUTE_S, pool, records.moment(since)],
        )
        return dict(cursor.fetchall())


def row_of(pool: UUID, curve: Curve | None, *, now: float) -> DemandForecast:
    """As it is stored; a pool of which too little is known has a row without steps."""
    curve = curve or Curve(made_at=now, begins_at=now, step_s=MINUTE_S, turns_per_s=())
    return DemandForecast(
        pool_id=pool,
        made_at=records.moment(curve.made_at),
        begins_at=records.moment(curve.begins_at),
        step_s=curve.step_s,
        turns_per_s=list(curve.turns_per_s),
        error=curve.error,
        plain_error=curve.plain_error,
        season=curve.season,
    )


def curves() -> dict[UUID, Curve]:
    """What was made last, by pool: one query."""
    return {
        row.pool_id: Curve(
            made_at=row.made_at.timestamp(),
            begins_at=row.begins_at.timestamp(),
            step_s=row.step_s,
            turns_per_s=tuple(row.turns_per_s),
            error=row.error,
            plain_error=row.plain_error,
            season=row.season,
        )
        for row in DemandForecast.objects.all()
    }
