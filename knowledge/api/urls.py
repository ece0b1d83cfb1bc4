"""Routes of collections and documents under /api/v1/; both with and without the trailing slash."""

from __future__ import annotations

from agents.api.urls import Router
from knowledge.api import views

router = Router()
router.register("collections", views.CollectionViewSet, basename="collection")
router.register(r"collections/(?P<slug>[^/.]+)/documents", views.DocumentsOfCollection, basename="collection-document")
router.register("documents", views.DocumentViewSet, basename="document")
urlpatterns = router.urls
