"""The console's websocket routes."""

from __future__ import annotations

from django.urls import path

from opsite.console.consumer import OverviewConsumer

websocket_urlpatterns = [path("ws/console/", OverviewConsumer.as_asgi())]
