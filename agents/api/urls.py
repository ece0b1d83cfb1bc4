"""Routes of the REST resources under /api/v1/; both with and without the trailing slash."""

from __future__ import annotations

from rest_framework.routers import SimpleRouter

from agents.api import secrets, views


class Router(SimpleRouter):
    """REST clients do not expect a trailing slash; one that sends it is served too."""

    def __init__(self) -> None:
        super().__init__()
        self.trailing_slash = "/?"


router = Router()
router.register("agents", views.AgentViewSet, basename="agent")
router.register("conversations", views.ConversationViewSet, basename="conversation")
router.register("tasks", views.TaskViewSet, basename="task")
router.register("secrets", secrets.SecretViewSet, basename="secret")
urlpatterns = router.urls
