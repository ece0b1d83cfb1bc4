"""Routes of input sets and comparisons under /api/v1/."""

from __future__ import annotations

from agents.api.urls import Router
from comparisons.api.views import ComparisonViewSet, InputSetViewSet

router = Router()
router.register("input-sets", InputSetViewSet, basename="input-set")
router.register("comparisons", ComparisonViewSet, basename="comparison")
urlpatterns = router.urls
