"""Routes of the REST resources under /api/v1/; both with and without the trailing slash."""

from __future__ import annotations

from rest_framework.routers import SimpleRouter

from agents.api import secrets, tools, views, webhooks


class Router(SimpleRouter):
    """REST clients do not expect a trailing slash; one that sends it is served too."""

    def __init__(self) -> None:
        super().__init__()
        self.trailing_slash = "/?"


router = Router()
router.register("agents", views.AgentViewSet, basename="agent")
router.register("conversations", views.ConversationViewSet, basename="conversation")
router.register("tasks", views.TaskViewSet, basename="task")
router.register("tools", tools.ToolViewSet, basename="tool")
router.register("mcp-servers", tools.McpServerViewSet, basename="mcp-server")
router.register("secrets", secrets.SecretViewSet, basename="secret")
router.register("webhooks", webhooks.EndpointViewSet, basename="webhook")
urlpatterns = router.urls
