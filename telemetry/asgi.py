"""Around every request: what its log lines are about, a span where it may submit work, and a line of its own if wanted."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from telemetry import logs, tracing
from telemetry.asgi_types import App, Message, Receive, Scope, Send

log = logging.getLogger("opsite.access")

PROBES = frozenset({"/livez", "/readyz"})


class Requests:
    """An ASGI application around another one.

    `traced` tells for which requests there is a span, if they are POSTs; `access_log`: a line for each request, but for probes.
    """

    def __init__(self, app: App, *, traced: Callable[[Scope], bool], access_log: bool) -> None:
        self.app, self._is_traced, self._access_log = app, traced, access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        with logs.about():
            if tracing.active() is not None and scope["method"] == "POST" and self._is_traced(scope):
                await self._traced(scope, receive, send)
            elif self._access_log:
                await self._served(scope, receive, send, lambda _: None)
            else:
                await self.app(scope, receive, send)

    async def _traced(self, scope: Scope, receive: Receive, send: Send) -> None:
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
        with tracing.opened(scope["method"], kind="server", headers=headers, **attributes) as span:
            logs.note(trace=tracing.place())

            def answered(status: int) -> None:
                span.set({"http.response.status_code": status})
                if status >= 500:
                    span.fail(str(status))

            await self._served(scope, receive, send, answered)

    async def _served(self, scope: Scope, receive: Receive, send: Send, answered: Callable[[int], None]) -> None:
        began, status = time.perf_counter(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answered(status)
            await send(message)

        try:
            await self.app(scope, receive, sending)
        finally:
            if self._access_log and scope["path"] not in PROBES:
                took = {"status": status, "duration_ms": round((time.perf_counter() - began) * 1000, 1)}
                with logs.about(method=scope["method"], path=scope["path"], **took):
                    log.info("%s %s %d", scope["method"], scope["path"], status)
