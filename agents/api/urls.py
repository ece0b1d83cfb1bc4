"""Routes of the REST resources under /api/v1/; both with and without the trailing slash."""

from __future__ import annotations

from django.urls import re_path
from rest_framework.routers import SimpleRouter

from agents.api import revision_views, secrets, tools, views, webhooks


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

AGENT = r"^agents/(?P<slug>[^/.]+)"
REVISION = AGENT + r"/revisions/(?P<number>[^/.]+)"
revisions, publications = revision_views.RevisionViewSet, revision_views.PublicationViewSet
urlpatterns = [
    *router.urls,
    re_path(AGENT + r"/revisions/?$", revisions.as_view({"get": "list", "post": "create"})),
    re_path(REVISION + r"/?$", revisions.as_view({"get": "retrieve"})),
    re_path(REVISION + r"/publish/?$", revisions.as_view({"post": "publish"})),
    re_path(AGENT + r"/traffic/?$", publications.as_view({"get": "traffic", "put": "split"})),
    re_path(AGENT + r"/publications/?$", publications.as_view({"get": "list"})),
    re_path(AGENT + r"/roll-back/?$", publications.as_view({"post": "roll_back"})),
]
