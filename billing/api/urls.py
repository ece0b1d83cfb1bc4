"""Routes of usage under /api/v1/."""

from __future__ import annotations

from agents.api.urls import Router
from billing.api.views import UsageViewSet

router = Router()
router.register("usage", UsageViewSet, basename="usage")
urlpatterns = router.urls
