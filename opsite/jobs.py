"""Side work on a timetable."""

from __future__ import annotations

import time
from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from billing import gpu_bill
from orchestrator.demand_rows import DemandMinute
from orchestrator.history.forecasts import renew
from orchestrator.models import ScalingDecision, Worker
from orchestrator.work_rows import WorkMinute
from schedules.services import forget_firings
from webhooks.services import forget_deliveries

WORK_DAYS = 3
"""So long each worker's sums are kept, minute by minute: an hour's bill is final after a day at the latest."""


@shared_task(name="opsite.jobs.retention")
def retention() -> dict[str, int]:
    """Forget decisions, ended workers and firings of schedules older than OPSITE_HISTORY_DAYS, demand older than
    OPSITE_DEMAND_HISTORY_DAYS, and deliveries of webhooks older than OPSITE_WEBHOOK_HISTORY_DAYS.

    What goes has been billed before. Returns how many rows went.
    """
    now = timezone.now()
    gpu_bill.make(now=now)
    oldest = now - timedelta(days=settings.OPSITE_HISTORY_DAYS)
    decisions, _ = ScalingDecision.objects.filter(at__lt=oldest).delete()
    workers, _ = Worker.objects.filter(stopped_at__lt=oldest).delete()
    minutes, _ = DemandMinute.objects.filter(
        minute__lt=now - timedelta(days=settings.OPSITE_DEMAND_HISTORY_DAYS)
    ).delete()
    work, _ = WorkMinute.objects.filter(minute__lt=now - timedelta(days=WORK_DAYS)).delete()
    deliveries = forget_deliveries(before=now - timedelta(days=settings.OPSITE_WEBHOOK_HISTORY_DAYS))
    firings = forget_firings(before=oldest)
    return {
        "decisions": decisions,
        "workers": workers,
        "demand_minutes": minutes,
        "work_minutes": work,
        "deliveries": deliveries,
        "firings": firings,
    }


@shared_task(name="opsite.jobs.forecasts")
def forecasts() -> int:
    """Foresee the demand of the pools whose policy asks for it; returns how many there are."""
    return renew(now=time.time())


@shared_task(name="opsite.jobs.gpu_bill")
def make_gpu_bill() -> int:
    """Bill the GPU time of the hours that are not final; returns how many there were."""
    return gpu_bill.make(now=timezone.now())
