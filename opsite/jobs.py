"""Side work on a timetable."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from orchestrator.models import ScalingDecision, Worker


@shared_task(name="opsite.jobs.retention")
def retention() -> dict[str, int]:
    """Forget decisions and ended workers older than OPSITE_HISTORY_DAYS; returns how many rows went."""
    oldest = timezone.now() - timedelta(days=settings.OPSITE_HISTORY_DAYS)
    decisions, _ = ScalingDecision.objects.filter(at__lt=oldest).delete()
    workers, _ = Worker.objects.filter(stopped_at__lt=oldest).delete()
    return {"decisions": decisions, "workers": workers}
