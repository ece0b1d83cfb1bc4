"""The GPU bill from rows: it adds up, comes out the same whenever it is made, and is not touched once it is final."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents.models import Task, Turn
from billing import gpu_bill
from billing.models import BilledHour, GpuHour, ServedHour
from opsite.jobs import make_gpu_bill, retention
from orchestrator.models import Pool, ScalingDecision, Worker
from orchestrator.revisions import note_edit
from orchestrator.work_rows import WorkMinute
from tests.billing.conftest import price
from tests.scene import Scene

NINE = datetime.fromisoformat("2026-03-02T09:00:00+00:00")
HOUR = timedelta(hours=1)
pytestmark = pytest.mark.django_db


def at(minutes: float) -> datetime:
    """A moment after nine."""
    return NINE + timedelta(minutes=minutes)


def worker(pool: Pool, begun: float, ready: float | None, ended: float | None = None, **fields: Any) -> Worker:
    """A life in minutes after nine."""
    note_edit(pool.pk, now=NINE)
    return Worker.objects.create(
        pool=pool, revision=pool.revisions.latest("number"), runtime="process", slots=8,
        state="ready" if ended is None else "stopped", started_at=at(begun),
        ready_at=None if ready is None else at(ready), stopped_at=None if ended is None else at(ended), **fields,
    )  # fmt: skip


def told(one: Worker, *sums: tuple[float, float]) -> None:
    """At these minutes it had been busy for so many seconds."""
    for minute, busy_s in sums:
        WorkMinute.objects.create(
            worker=one,
            minute=at(int(minute)),
            at=at(minute),
            busy_ms=round(1000 * busy_s),
            steps=0,
            sequences=0,
            prefilled=0,
        )


def served(one: Worker, tenant: Any, hour: datetime, *, prompt: int, made: int) -> None:
    ServedHour.objects.create(
        tenant=tenant, pool=one.pool, worker=str(one.pk), hour=hour, prompt_tokens=prompt, completion_tokens=made
    )


def bill() -> dict[tuple[int, UUID, UUID | None, str], int]:
    """Hour, worker, tenant, kind: milliseconds."""
    rows = GpuHour.objects.across_tenants()
    return {(row.hour.hour, row.worker, row.tenant_id, row.kind): row.gpu_ms for row in rows}


def test_a_worker_of_two_tenants_over_two_hours(scene: Scene) -> None:
    one = worker(scene.pool, 30, 32, 75.5, gpus=["0", "1"])
    told(one, (33, 20), (59.5, 600), (60.5, 630), (74, 700))
    served(one, scene.ann.tenant, NINE, prompt=100, made=290)  # a prompt token weighs a tenth: 300
    served(one, scene.bob.tenant, NINE, prompt=0, made=100)
    served(one, scene.bob.tenant, NINE + HOUR, prompt=0, made=5)
    gpu_bill.make(now=at(300))
    ann, bob, pk = scene.ann.tenant.pk, scene.bob.tenant.pk, one.pk
    busy, idle = 615_000, 28 * 60_000 - 615_000
    assert bill() == {
        (9, pk, ann, "starting"): 2 * 90_000, (9, pk, bob, "starting"): 2 * 30_000,
        (9, pk, ann, "busy"): 2 * busy * 3 // 4, (9, pk, bob, "busy"): 2 * busy // 4,
        (9, pk, ann, "idle"): 2 * idle * 3 // 4, (9, pk, bob, "idle"): 2 * idle // 4,
        (10, pk, bob, "busy"): 2 * 85_000, (10, pk, bob, "idle"): 2 * (930_000 - 85_000),
    }  # fmt: skip
    nine, ten = BilledHour.objects.order_by("hour")
    assert (nine.wall_ms, ten.wall_ms) == (2 * 30 * 60_000, 2 * 930_000)
    assert (nine.unknown_ms, ten.unknown_ms) == (0, 90_000)  # it ended a minute and a half after its last word
    assert (nine.prompt_weight, nine.is_final, ten.is_final) == (Decimal("0.1"), True, True)


def test_nobody_busy_is_the_operators_or_the_pools_own_tenants(scene: Scene) -> None:
    shared = worker(scene.pool, 0, 1, 10)
    hers = Pool.objects.create(slug="hers", name="Hers", engine="simulated", tenant=scene.ann.tenant)
    own = worker(hers, 0, None, 10, gpus=["0"], gpu_share=0.3)
    gpu_bill.make(now=at(300))
    assert bill() == {
        (9, shared.pk, None, "starting"): 60_000,
        (9, shared.pk, None, "idle"): 540_000,
        (9, own.pk, scene.ann.tenant.pk, "starting"): 180_000,
    }


def test_an_hour_is_made_anew_until_it_is_final(scene: Scene) -> None:
    one = worker(scene.pool, 0, 0)
    gpu_bill.make(now=at(20))
    assert bill() == {(9, one.pk, None, "idle"): 20 * 60_000}
    told(one, (30, 60))
    served(one, scene.ann.tenant, NINE, prompt=0, made=9)
    gpu_bill.make(now=at(65))
    once = bill()
    assert once[9, one.pk, scene.ann.tenant.pk, "busy"] == 60_000
    gpu_bill.make(now=at(65))
    assert bill() == once
    assert not BilledHour.objects.filter(is_final=True).exists()
    gpu_bill.make(now=at(76))
    assert [(row.hour.hour, row.is_final) for row in BilledHour.objects.order_by("hour")] == [(9, True), (10, False)]
    final = {key: value for key, value in bill().items() if key[0] == 9}
    told(one, (59, 900))
    gpu_bill.bill_hour(NINE, now=at(80))
    gpu_bill.make(now=at(80))
    assert {key: value for key, value in bill().items() if key[0] == 9} == final


def test_an_hour_waits_for_a_turn_that_was_claimed_in_it_but_not_for_ever(scene: Scene) -> None:
    worker(scene.pool, 0, 0)
    scene.ann.task(state="running")
    Turn.objects.across_tenants().update(state="running", claimed_at=at(50))
    gpu_bill.make(now=at(100))
    assert not BilledHour.objects.filter(is_final=True).exists()
    gpu_bill.make(now=at(60 + 24 * 60))
    assert BilledHour.objects.get(hour=NINE).is_final
    Task.objects.across_tenants().update(state="failed", finished_at=at(55))
    gpu_bill.make(now=at(60 + 24 * 60))
    assert BilledHour.objects.filter(is_final=True).count() == 24


def test_the_price_is_that_of_the_hours_begin(scene: Scene) -> None:
    price(scene.pool, at(-1), gpu_second="0.002")
    price(scene.pool, at(5), gpu_second="9")
    worker(scene.pool, 0, 0, 120)
    gpu_bill.make(now=at(300))
    assert [(row.gpu_ms, row.cost) for row in GpuHour.objects.across_tenants().order_by("hour")] == [
        (3_600_000, Decimal("7.2")),
        (3_600_000, Decimal(32400)),
    ]


def test_gaps_between_hours_and_long_absences_leave_nothing_out(scene: Scene) -> None:
    worker(scene.pool, 0, 0, 30)
    gpu_bill.make(now=at(400))
    worker(scene.pool, 190, 191, 250)  # nobody lived for hours, and nobody made a bill
    worker(scene.pool, 1000, None)
    gpu_bill.make(now=at(1010))
    billed = BilledHour.objects.aggregate(wall=Sum("wall_ms"))["wall"]
    assert billed == (30 + 60 + 10) * 60_000 == GpuHour.objects.across_tenants().aggregate(all=Sum("gpu_ms"))["all"]


def test_the_database_refuses_a_bill_that_does_not_add_up(scene: Scene) -> None:
    whole = {"wall_ms": 10, "starting_ms": 2, "busy_ms": 3, "idle_ms": 4, "unknown_ms": 0, "prompt_weight": 1}
    with pytest.raises(IntegrityError, match="billed_hour_adds_up"), transaction.atomic():
        BilledHour.objects.create(pool=scene.pool, hour=NINE, billed_at=NINE, **whole)


def test_what_retention_forgets_was_billed(scene: Scene) -> None:
    worker(scene.pool, 0, 0, 30)  # long ago
    assert retention()["workers"] == 1
    assert sum(bill().values()) == 30 * 60_000
    assert make_gpu_bill() == 0


def test_retention_forgets_what_was_served_and_keeps_it_where_no_bill_can_be_made(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = worker(scene.pool, 0, 0, 30)  # long ago
    served(one, scene.ann.tenant, NINE, prompt=1, made=1)
    recent = timezone.now().replace(minute=0, second=0, microsecond=0)
    served(one, scene.bob.tenant, recent, prompt=1, made=1)

    def broken(**_: Any) -> int:
        raise RuntimeError("no prices")

    with monkeypatch.context() as patched:
        patched.setattr("billing.gpu_bill.make", broken)
        ScalingDecision.objects.create(pool=scene.pool, at=NINE, current=0, desired=1, reason="x", signals={})
        gone = retention()
    assert (gone["decisions"], gone["workers"], gone["served_hours"]) == (1, 0, 0)
    gone = retention()
    assert (gone["workers"], gone["served_hours"]) == (1, 1)
    assert [row.tenant_id for row in ServedHour.objects.across_tenants()] == [scene.bob.tenant.pk]


def test_a_pools_workers_are_billed_by_a_fixed_number_of_queries(scene: Scene) -> None:
    for _ in range(2):
        told(worker(scene.pool, 0, 0), (30, 60))
    with CaptureQueriesContext(connection) as few:
        gpu_bill.bill_hour(NINE, now=at(30))
    for _ in range(20):
        told(worker(scene.pool, 0, 0), (30, 60))
    with CaptureQueriesContext(connection) as many:
        gpu_bill.bill_hour(NINE, now=at(30))
    assert len(few) == len(many) < 20
