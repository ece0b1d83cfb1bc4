"""Side work on a timetable."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from batches.retention import forget_batches, forget_files
from billing import gpu_bill
from billing.models import ServedHour
from opsite import job_telemetry  # noqa: F401 - its signals are those of the worker that runs these
from orchestrator.demand_rows import DemandMinute
from orchestrator.history.forecasts import renew
from orchestrator.models import ScalingDecision, Worker
from orchestrator.turn_rows import TurnMinute
from orchestrator.work_rows import WorkMinute
from schedules.services import forget_firings
from webhooks.services import forget_deliveries

log = logging.getLogger(__name__)

WORK_DAYS = 3
"""So long each worker's sums, minute by minute, and what it served, by the hour, are kept: an hour's bill is final after a day."""


@shared_task(name="opsite.jobs.retention")
def retention() -> dict[str, int]:
    """Forget decisions, ended workers and firings of schedules older than OPSITE_HISTORY_DAYS, minutes of demand and of turns older
    than OPSITE_DEMAND_HISTORY_DAYS, deliveries of webhooks older than OPSITE_WEBHOOK_HISTORY_DAYS, batches and files that ended
    before OPSITE_BATCH_HISTORY_DAYS, and what bills were made of.

    What goes has been billed before; where no bill can be made, what it is made of stays. Returns how many rows went.
    """
    now = timezone.now()
    oldest = now - timedelta(days=settings.OPSITE_HISTORY_DAYS)
    billed = _forget_billed(now=now, oldest=oldest)
    decisions, _ = ScalingDecision.objects.filter(at__lt=oldest).delete()
    begin = now - timedelta(days=settings.OPSITE_DEMAND_HISTORY_DAYS)
    minutes, _ = DemandMinute.objects.filter(minute__lt=begin).delete()
    turn_minutes, _ = TurnMinute.objects.filter(minute__lt=begin).delete()
    deliveries = forget_deliveries(before=now - timedelta(days=settings.OPSITE_WEBHOOK_HISTORY_DAYS))
    firings = forget_firings(before=oldest)
    ended = now - timedelta(days=settings.OPSITE_BATCH_HISTORY_DAYS)
    batches, files = forget_batches(before=ended), forget_files(before=ended)
    return {
        **billed,
        "decisions": decisions,
        "demand_minutes": minutes,
        "turn_minutes": turn_minutes,
        "deliveries": deliveries,
        "firings": firings,
        "batches": batches,
        "files": files,
    }


def _forget_billed(*, now: datetime, oldest: datetime) -> dict[str, int]:
    """Bill, and then forget what bills are made of."""
    try:
        gpu_bill.make(now=now)
    except Exception:
        log.exception("no GPU bill could be made: workers and what they did are kept until one can")
        return {"workers": 0, "work_minutes": 0, "served_hours": 0}
    final = now - timedelta(days=WORK_DAYS)
    workers, _ = Worker.objects.filter(stopped_at__lt=oldest).delete()
    work, _ = WorkMinute.objects.filter(minute__lt=final).delete()
    served, _ = ServedHour.objects.across_tenants().filter(hour__lt=final).delete()
    return {"workers": workers, "work_minutes": work, "served_hours": served}


@shared_task(name="opsite.jobs.heartbeat")
def heartbeat() -> None:
    """Nothing: that it ran is what is told (`opsite.job_telemetry`)."""


@shared_task(name="opsite.jobs.forecasts")
def forecasts() -> int:
    """Foresee the demand of the pools whose policy asks for it; returns how many there are."""
    return renew(now=time.time())


@shared_task(name="opsite.jobs.gpu_bill")
def make_gpu_bill() -> int:
    """Bill the GPU time of the hours that are not final; returns how many there were."""
    return gpu_bill.make(now=timezone.now())
