"""The GPU bill, made from rows: workers' lives, their sums minute by minute, and what they served. Any run makes it again.

An hour is billed in one transaction, for all pools: its rows are replaced until it is final, and never touched afterwards. It is
final when it has been over for a quarter of an hour and no turn is open that was claimed in it, after a day in any case. So a run
that is killed, comes twice, or comes late leaves the same bill.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Max, Min, Q

from agents.lifecycle import OUTCOMES, TaskState
from agents.models import Task
from billing.busy import DIGITS, Busy, Sample, busy_between, prompt_weight
from billing.models import BilledHour, GpuHour, Price, ServedHour
from billing.split import UNITS, Charge, Kind, Life, WorkerHour, charges, parts_of, span
from orchestrator.models import Worker
from orchestrator.work_rows import WorkMinute

log = logging.getLogger(__name__)

HOUR = timedelta(hours=1)
HOUR_MS = 3_600_000
SETTLES_AFTER = timedelta(minutes=15)
"""So long records may be on their way, and a worker's next minute, which tells of the end of the hour."""
SETTLED_AT_THE_LATEST = timedelta(days=1)
AROUND = timedelta(minutes=15)
"""Samples so long before and after an hour are looked at, and of those before that the last one."""
LOCK = 6_102_026
"""Postgres' advisory lock of whoever makes the bill."""
OF_LIFE = ("id", "pool_id", "started_at", "ready_at", "stopped_at", "gpus", "gpu_share")


class PoolHour(NamedTuple):
    """A pool's hour, split."""

    row: BilledHour
    charges: list[Charge]


def make(*, now: datetime) -> int:
    """Bill all hours that are not final; returns how many."""
    due = hours_due(now=now)
    for hour in due:
        bill_hour(hour, now=now)
    return len(due)


def hours_due(*, now: datetime) -> list[datetime]:
    """The hours in which a worker lived, from the first that is not final on."""
    since = unsettled_since()
    lives = Worker.objects.all()
    if since is not None:
        lives = lives.filter(Q(stopped_at__isnull=True) | Q(stopped_at__gt=since))
    hours: set[datetime] = set()
    for begun, ended in lives.values_list("started_at", "stopped_at"):
        hour = hour_of(begun if since is None else max(begun, since))
        while hour < min(ended or now, now):
            hours.add(hour)
            hour += HOUR
    return sorted(hours)


def unsettled_since() -> datetime | None:
    """The first hour that is not final; None where nothing was billed yet."""
    known = BilledHour.objects.aggregate(
        first_open=Min("hour", filter=Q(is_final=False)), last_final=Max("hour", filter=Q(is_final=True))
    )
    first: datetime | None = known["first_open"]
    last: datetime | None = known["last_final"]
    return first or (last + HOUR if last else None)


def bill_hour(hour: datetime, *, now: datetime) -> None:
    """Replace what is billed of an hour, unless it is final."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        if BilledHour.objects.filter(hour=hour, is_final=True).exists():
            return
        pools = [pool_hour(rows, hour=hour, now=now) for rows in _lives(hour).values()]
        is_final = _is_settled(hour, now=now)
        prices = prices_at(hour)
        GpuHour.objects.across_tenants().filter(hour=hour).delete()
        GpuHour.objects.bulk_create(
            [
                GpuHour(
                    tenant_id=charge.tenant,
                    pool_id=pool.row.pool_id,
                    worker=charge.worker,
                    hour=hour,
                    kind=charge.kind,
                    gpu_ms=charge.gpu_ms,
                    cost=charge.gpu_ms * prices.get(pool.row.pool_id, Decimal(0)) * Decimal("0.001"),
                )
                for pool in pools
                for charge in pool.charges
            ]
        )
        BilledHour.objects.filter(hour=hour).delete()
        for pool in pools:
            pool.row.is_final = is_final
        BilledHour.objects.bulk_create([pool.row for pool in pools])


def pool_hour(rows: Sequence[Worker], *, hour: datetime, now: datetime) -> PoolHour:
    """One pool's workers in an hour: what their rows say, and how it is split."""
    pool = rows[0].pool
    samples = samples_of([row.pk for row in rows], hour=hour)
    weight = prompt_weight(samples.values())
    served = _served(pool.pk, hour=hour, weight=weight)
    hours: list[WorkerHour] = []
    wall, unknown = 0, 0
    for row in rows:
        life = life_of(row)
        part = span(life, begin_ms=ms(hour), end_ms=ms(hour) + HOUR_MS, now_ms=ms(now))
        if part is None:
            continue
        seen = Busy(0, 0)
        if life.ready_ms is not None:
            known = samples.get(row.pk, [])
            seen = busy_between(known, ready_ms=life.ready_ms, begin_ms=part.ready_ms, end_ms=part.end_ms)
        parts = parts_of(life, part, busy_ms=seen.busy_ms)
        hours.append(WorkerHour(life.worker, parts, served.get(life.worker, {})))
        wall += (part.end_ms - life.begun_ms) * life.units // UNITS - (
            part.begin_ms - life.begun_ms
        ) * life.units // UNITS
        unknown += seen.unknown_ms
    split = charges(hours, dedicated_to=str(pool.tenant_id) if pool.tenant_id else None)
    sums: dict[Kind, int] = defaultdict(int)
    for charge in split:
        sums[charge.kind] += charge.gpu_ms
    whole = BilledHour(
        pool=pool,
        hour=hour,
        wall_ms=wall,
        starting_ms=sums["starting"],
        busy_ms=sums["busy"],
        idle_ms=sums["idle"],
        unknown_ms=unknown,
        prompt_weight=round(Decimal(weight.numerator) / weight.denominator, DIGITS),
        billed_at=now,
    )
    return PoolHour(whole, split)


def life_of(row: Worker) -> Life:
    """A worker's row as the bill sees it."""
    return Life(
        worker=str(row.pk),
        begun_ms=ms(row.started_at),
        ready_ms=ms(row.ready_at) if row.ready_at else None,
        ended_ms=ms(row.stopped_at) if row.stopped_at else None,
        units=round(len(row.gpus) * row.gpu_share * UNITS) if row.gpus else UNITS,
    )


def samples_of(workers: Iterable[UUID], *, hour: datetime) -> dict[UUID, list[Sample]]:
    """What these workers told in and around an hour, in order."""
    begin, end = hour - AROUND, hour + HOUR + AROUND
    rows = WorkMinute.objects.filter(worker__in=list(workers))
    before = rows.filter(at__lt=begin).order_by("worker_id", "-minute").distinct("worker_id")
    found: defaultdict[UUID, list[Sample]] = defaultdict(list)
    for row in (*before, *rows.filter(at__gte=begin, at__lt=end).order_by("minute")):
        found[row.worker_id].append(Sample(ms(row.at), row.busy_ms, row.steps, row.sequences, row.prefilled))
    return found


def prices_at(moment: datetime) -> dict[UUID, Decimal]:
    """Per GPU-second, by pool."""
    rows = Price.objects.filter(valid_from__lte=moment).order_by("pool_id", "-valid_from").distinct("pool_id")
    return {row.pool_id: row.gpu_second for row in rows}


def ms(moment: datetime) -> int:
    """Unix milliseconds, cut."""
    return (moment - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)


def hour_of(moment: datetime) -> datetime:
    """The hour (UTC) that a moment lies in."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _lives(hour: datetime) -> dict[UUID, list[Worker]]:
    """All workers that lived in an hour, by pool."""
    rows = (
        Worker.objects.filter(Q(stopped_at__isnull=True) | Q(stopped_at__gt=hour), started_at__lt=hour + HOUR)
        .select_related("pool")
        .only(*OF_LIFE, "pool__id", "pool__tenant_id")
        .order_by("started_at", "pk")
    )
    found: defaultdict[UUID, list[Worker]] = defaultdict(list)
    for row in rows:
        found[row.pool_id].append(row)
    return found


def _served(pool: UUID, *, hour: datetime, weight: Fraction) -> Mapping[str, dict[str, Fraction]]:
    """By worker and tenant: tokens, those of prompts by their weight."""
    found: defaultdict[str, dict[str, Fraction]] = defaultdict(dict)
    for row in ServedHour.objects.across_tenants().filter(pool=pool, hour=hour):
        tokens = Fraction(row.completion_tokens) + weight * Fraction(row.prompt_tokens)
        by_tenant = found[row.worker[:36]]
        by_tenant[str(row.tenant_id)] = by_tenant.get(str(row.tenant_id), Fraction(0)) + tokens
    return found


def _is_settled(hour: datetime, *, now: datetime) -> bool:
    over_for = now - (hour + HOUR)
    if over_for < SETTLES_AFTER:
        return False
    if over_for >= SETTLED_AT_THE_LATEST:
        return True
    open_tasks = Task.objects.across_tenants().filter(~Q(state__in=sorted(OUTCOMES)))  # as the index `task_open` has it
    # One that waits to be taken over was served, too.
    was_served = {"turns__state__in": [TaskState.RUNNING, TaskState.QUEUED], "turns__claimed_at__lt": hour + HOUR}
    return not open_tasks.filter(**was_served).exists()
