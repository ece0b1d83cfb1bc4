"""The console's websocket route."""

from __future__ import annotations

from django.urls import path

from console.consumer import ConsoleConsumer

websocket_urlpatterns = [path("ws/console/", ConsoleConsumer.as_asgi())]
