"""A collector of OpenTelemetry's: OTLP over HTTP with protobuf, on this host, that keeps what it was sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PATIENCE_S = 60.0


@dataclass(frozen=True)
class Received:
    """One span, ids in hexadecimal."""

    name: str
    trace: str
    id: str
    parent: str
    start_ns: int
    end_ns: int
    kind: int
    attributes: dict[str, Any]
    state: str
    is_error: bool
    resource: dict[str, Any]


@dataclass
class Collector:
    """What came so far."""

    url: str = ""
    spans: list[Received] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    _news: threading.Condition = field(default_factory=threading.Condition)

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self._news:
            self.bodies.append(body)
            for group in request.resource_spans:
                resource = {pair.key: _value(pair.value) for pair in group.resource.attributes}
                self.spans += [_received(span, resource) for scope in group.scope_spans for span in scope.spans]
            self._news.notify_all()

    def named(self, name: str) -> list[Received]:
        """Those of that name, by their start."""
        return sorted((span for span in self.spans if span.name == name), key=lambda span: span.start_ns)

    def one(self, name: str) -> Received:
        """The only one of that name."""
        (span,) = self.named(name)
        return span

    def wait_for(self, *names: str) -> None:
        """Until there is a span of each of these names."""
        deadline = time.monotonic() + PATIENCE_S
        with self._news:
            while missing := set(names) - {span.name for span in self.spans}:
                left = deadline - time.monotonic()
                assert left > 0, f"no span {missing} came; there are {[span.name for span in self.spans]}"
                self._news.wait(left)


def _received(span: Any, resource: dict[str, Any]) -> Received:
    return Received(
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        kind=span.kind,
        attributes={pair.key: _value(pair.value) for pair in span.attributes},
        state=span.trace_state,
        is_error=span.status.code == 2,
        resource=resource,
    )


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind)


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector while inside."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.take(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield collector
    server.shutdown()
    server.server_close()
