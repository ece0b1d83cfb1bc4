"""Routes of schedules under /api/v1/."""

from __future__ import annotations

from agents.api.urls import Router
from schedules.api.views import ScheduleViewSet

router = Router()
router.register("schedules", ScheduleViewSet, basename="schedule")
urlpatterns = router.urls
