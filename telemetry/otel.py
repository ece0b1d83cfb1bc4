"""OpenTelemetry's SDK as `telemetry.tracing` uses it. Imported only where traces are on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context as otel_context
from opentelemetry import trace as api
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from telemetry.context import Trace
from telemetry.timeline import Kind, Span, Value

SERVICE = "opsite"
CLOSE_S = 3.0
"""How long a process that ends may take for its last spans."""
_SCOPE = InstrumentationScope("opsite")
_KINDS = {
    "internal": api.SpanKind.INTERNAL,
    "server": api.SpanKind.SERVER,
    "client": api.SpanKind.CLIENT,
    "producer": api.SpanKind.PRODUCER,
    "consumer": api.SpanKind.CONSUMER,
}


class Tracing:
    """One process's way to the collector. Its own spans go by the SDK's batches: in the background, bounded, dropped if need be."""

    def __init__(self, process: str) -> None:
        self.resource = _resource(process)
        self.exporter = OTLPSpanExporter()
        self._batches = BatchSpanProcessor(self.exporter)
        provider = TracerProvider(resource=self.resource, shutdown_on_exit=False)
        provider.add_span_processor(self._batches)
        self._tracer = provider.get_tracer("opsite")
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def opened(
        self, name: str, *, kind: Kind, headers: Mapping[str, str], attributes: Mapping[str, Value]
    ) -> Iterator[_Opened]:
        """A span of this process. Sampled as OTEL_TRACES_SAMPLER says."""
        carrier = {header: headers[header] for header in ("traceparent", "tracestate") if header in headers}
        above = self._propagator.extract(carrier) if carrier else None
        with self._tracer.start_as_current_span(
            name, above, _KINDS[kind], dict(attributes), record_exception=False, set_status_on_exception=False
        ) as span:
            opened = _Opened(span)
            try:
                yield opened
            except Exception as error:
                opened.fail(getattr(error, "code", None) or type(error).__name__)
                raise

    @contextmanager
    def inside(self, trace: Trace) -> Iterator[None]:
        """The place of a span that another process exports."""
        context = api.set_span_in_context(api.NonRecordingSpan(_span_context(trace, trace.span_id)))
        token = otel_context.attach(context)
        try:
            yield
        finally:
            otel_context.detach(token)

    def route(self, method: str, path: str) -> None:
        """The route of the request whose span is open."""
        span = api.get_current_span()
        if span.is_recording():
            span.update_name(f"{method} {path}")
            span.set_attribute("http.route", path)

    def place(self) -> str:
        """Where this piece of work stands; empty outside of all spans."""
        context = api.get_current_span().get_span_context()
        if not context.is_valid:
            return ""
        return str(
            Trace(
                api.format_trace_id(context.trace_id),
                api.format_span_id(context.span_id),
                context.trace_flags.sampled,
                context.trace_state.to_header(),
            )
        )

    def emit(self, span: Span, trace: Trace) -> None:
        """Export a span with its own id and times, with the SDK's next batch."""
        if trace.sampled:
            self._batches.on_end(self.readable(span, trace))

    def readable(self, span: Span, trace: Trace) -> ReadableSpan:
        """A span as the exporter takes it."""
        return ReadableSpan(
            name=span.name,
            context=_span_context(trace, span.id, is_remote=False),
            parent=_span_context(trace, span.parent) if span.parent else None,
            resource=self.resource,
            attributes={**span.attributes, "error.type": span.error} if span.error else dict(span.attributes),
            kind=_KINDS[span.kind],
            status=api.Status(api.StatusCode.ERROR, span.error) if span.error else api.Status(),
            start_time=span.start_ns,
            end_time=span.end_ns,
            instrumentation_scope=_SCOPE,
        )

    def close(self) -> None:
        """Export what is left, in bounded time: the processor's own `shutdown` would wait for half a minute."""
        self._batches._batch_processor.shutdown(timeout_millis=round(CLOSE_S * 1000))


class _Opened:
    def __init__(self, span: api.Span) -> None:
        self._span = span

    def set(self, attributes: Mapping[str, Value]) -> None:
        self._span.set_attributes(dict(attributes))

    def fail(self, code: str) -> None:
        self._span.set_attribute("error.type", code)
        self._span.set_status(api.StatusCode.ERROR, code)


def _span_context(trace: Trace, span: str, *, is_remote: bool = True) -> api.SpanContext:
    return api.SpanContext(
        int(trace.trace_id, 16),
        int(span, 16),
        is_remote=is_remote,
        trace_flags=api.TraceFlags(int(trace.sampled)),
        trace_state=api.TraceState.from_header([trace.state]) if trace.state else None,
    )


def _resource(process: str) -> Resource:
    """What all spans of this process say of it; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES stand over it."""
    own = Resource(
        {SERVICE_NAME: SERVICE, SERVICE_INSTANCE_ID: f"{os.uname().nodename}:{os.getpid()}", "opsite.process": process}
    )
    return Resource.get_empty().merge(own).merge(OTELResourceDetector().detect())
