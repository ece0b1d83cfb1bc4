"""Requests counted and timed, whatever application answers them.

The application says which route it was by `named`: a request that no route took is counted as `none`, so that what strangers ask
for makes no series.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from telemetry.asgi_types import App, Message, Receive, Scope, Send
from telemetry.metrics.web import HTTP_OPEN, HTTP_REQUESTS, HTTP_SECONDS

KEY = "opsite.route"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def named(scope: Mapping[str, Any], route: str) -> None:
    """Say which route a request has taken: its template, as `/api/v1/tasks/{id}`."""
    place = scope.get(KEY)
    if place is not None:
        place[0] = route


class Measured:
    """An ASGI application whose requests are measured."""

    def __init__(self, behind: App) -> None:
        self._behind = behind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            await self._behind(scope, receive, send)
            return
        place = scope[KEY] = ["none"]
        begun = time.perf_counter()
        method = scope.get("method", "WEBSOCKET") if kind == "http" else "WEBSOCKET"
        method = method if method in METHODS or kind == "websocket" else "other"

        async def measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                HTTP_SECONDS.labels(method, place[0]).observe(time.perf_counter() - begun)
                HTTP_REQUESTS.labels(method, place[0], str(message["status"])).inc()
            await send(message)

        with HTTP_OPEN.labels(kind).track_inprogress():
            await self._behind(scope, receive, measured)
