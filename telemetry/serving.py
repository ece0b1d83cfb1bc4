"""`/metrics`, `/livez` and `/readyz` of a process, on a port of their own: nothing of it is reached by the API's port.

Several web processes on one port keep their figures in files (prometheus_client's multiprocess mode), and who started them serves
the sum.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import REGISTRY, CollectorRegistry, make_wsgi_app, multiprocess

from telemetry.pulse import PULSE, Pulse

log = logging.getLogger(__name__)


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """A scrape is no news."""


class _Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Serving:
    """A thread that answers until `close`. Raises OSError where the port is taken.

    Without a pulse there are the metrics only: of a process that tells of its health elsewhere.
    """

    def __init__(
        self, host: str, port: int, *, registry: CollectorRegistry = REGISTRY, pulse: Pulse | None = PULSE
    ) -> None:
        self._server = make_server(host, port, _app(make_wsgi_app(registry), pulse), _Threaded, _Quiet)
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()
        log.info("metrics at http://%s:%d/metrics", host, self.port)

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def summed(folder: str) -> CollectorRegistry:
    """The figures of all processes that keep them in this folder (PROMETHEUS_MULTIPROC_DIR)."""
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call]
    return registry


def _app(metrics: Callable[..., Iterable[bytes]], pulse: Pulse | None) -> Callable[..., Iterable[bytes]]:
    there = "There is /metrics." if pulse is None else "There are /metrics, /livez and /readyz."

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                return metrics(environ, start_response)
            case "/livez" if pulse is not None:
                silent = pulse.silent()
                return _said(start_response, not silent, {"silent": silent})
            case "/readyz" if pulse is not None:
                lacking = pulse.wanting() | dict.fromkeys(pulse.silent(), "is silent")
                return _said(start_response, not lacking, {"lacking": lacking})
        return _said(start_response, None, {"detail": there})

    return app


def _said(start_response: StartResponse, good: bool | None, more: dict[str, Any]) -> Iterable[bytes]:
    status = {True: "200 OK", False: "503 Service Unavailable", None: "404 Not Found"}[good]
    body = {"status": "ok"} if good else {"status": "unavailable" if good is False else "not found", **more}
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(body).encode()]
