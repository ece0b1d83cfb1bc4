"""Telemetry of requests, whatever application answers them: how many and how long, a span, what their log lines are about.

The application says which route it was by `name_route`: a request that no route took is counted as `none`, so that what strangers
ask for makes no series.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from telemetry import logs, tracing
from telemetry.asgi_types import App, Message, Receive, Scope, Send
from telemetry.metrics.web import HTTP_OPEN, HTTP_REQUESTS, HTTP_SECONDS

log = logging.getLogger("opsite.access")

KEY = "opsite.route"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
PROBES = frozenset({"/livez", "/readyz"})
_NO_SPAN: AbstractContextManager[tracing.Opened | None] = nullcontext()


def name_route(scope: Mapping[str, Any], route: str) -> None:
    """Say which route a request has taken: its template, as `/api/v1/tasks/{id}`."""
    place = scope.get(KEY)
    if place is not None:
        place[0] = route


class RequestTelemetry:
    """An ASGI application whose requests are measured, traced and logged; websockets are counted while they are open.

    `traced` tells for which requests there is a span, if they are POSTs; `access_log`: a line for each request, but for probes.
    """

    def __init__(self, app: App, *, traced: Callable[[Scope], bool], access_log: bool) -> None:
        self._app, self._is_traced, self._access_log = app, traced, access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            with HTTP_OPEN.labels(kind).track_inprogress(), logs.about():
                await self._answer(scope, receive, send)
        elif kind == "websocket":
            with HTTP_OPEN.labels(kind).track_inprogress():
                await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, status = time.perf_counter(), 0
        route = scope[KEY] = ["none"]
        method = scope["method"] if scope["method"] in METHODS else "other"

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                HTTP_SECONDS.labels(method, route[0]).observe(time.perf_counter() - began)
                HTTP_REQUESTS.labels(method, route[0], str(status)).inc()
                if span is not None:
                    span.set({"http.response.status_code": status})
                    if status >= 500:
                        span.fail(str(status))
            await send(message)

        try:
            with self._span(scope) as span:
                if span is not None:
                    logs.note(trace=tracing.place())
                await self._app(scope, receive, sending)
        finally:
            if self._access_log and scope["path"] not in PROBES:
                took = {"status": status, "duration_ms": round((time.perf_counter() - began) * 1000, 1)}
                with logs.about(method=scope["method"], path=scope["path"], **took):
                    log.info("%s %s %d", scope["method"], scope["path"], status)

    def _span(self, scope: Scope) -> AbstractContextManager[tracing.Opened | None]:
        """Around a request that may submit work; it continues the caller's trace."""
        if tracing.active() is None or scope["method"] != "POST" or not self._is_traced(scope):
            return _NO_SPAN
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            if name in (b"traceparent", b"tracestate"):
                text = value.decode("latin-1")
                known = headers.get(name.decode())
                headers[name.decode()] = text if known is None else f"{known},{text}"  # two traceparents are none
        attributes = {
            "http.request.method": scope["method"],
            "url.path": scope["path"],
            "url.scheme": scope.get("scheme", "http"),
        }
        return tracing.opened(scope["method"], kind="server", headers=headers, **attributes)
