"""Side work on a timetable."""

from __future__ import annotations

import time
from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from orchestrator.demand_rows import DemandMinute
from orchestrator.history.forecasts import renew
from orchestrator.models import ScalingDecision, Worker
from webhooks.services import forget_deliveries


@shared_task(name="opsite.jobs.retention")
def retention() -> dict[str, int]:
    """Forget decisions and ended workers older than OPSITE_HISTORY_DAYS, demand older than OPSITE_DEMAND_HISTORY_DAYS, and
    deliveries of webhooks older than OPSITE_WEBHOOK_HISTORY_DAYS.

    Returns how many rows went.
    """
    now = timezone.now()
    oldest = now - timedelta(days=settings.OPSITE_HISTORY_DAYS)
    decisions, _ = ScalingDecision.objects.filter(at__lt=oldest).delete()
    workers, _ = Worker.objects.filter(stopped_at__lt=oldest).delete()
    minutes, _ = DemandMinute.objects.filter(
        minute__lt=now - timedelta(days=settings.OPSITE_DEMAND_HISTORY_DAYS)
    ).delete()
    deliveries = forget_deliveries(before=now - timedelta(days=settings.OPSITE_WEBHOOK_HISTORY_DAYS))
    return {"decisions": decisions, "workers": workers, "demand_minutes": minutes, "deliveries": deliveries}


@shared_task(name="opsite.jobs.forecasts")
def forecasts() -> int:
    """Foresee the demand of the pools whose policy asks for it; returns how many there are."""
    return renew(now=time.time())
