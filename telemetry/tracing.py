"""Traces by OpenTelemetry: off unless an endpoint is configured, and then a look at a variable is all that they cost.

A process says once what it is (`configure`). Faces and chores open spans here as work comes in; a task keeps its place (`place`) in
its row, and whoever ends it tells the rest (`telemetry.exporting`). Settings are those of OpenTelemetry's SDK, by their own names;
the SDK is imported only where traces are on. What is exported, and what it costs: docs/telemetry.md.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

from telemetry.context import Trace
from telemetry.timeline import Kind, Value

if TYPE_CHECKING:
    from telemetry.otel import Tracing

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

_tracing: Tracing | None = None


class Opened(Protocol):
    """A span that is under way."""

    def set(self, attributes: Mapping[str, Value]) -> None:
        """Say more about it."""
        ...

    def fail(self, code: str) -> None:
        """It did not go well."""
        ...


class _Nothing:
    """No span."""

    def set(self, attributes: Mapping[str, Value]) -> None:
        """Nothing is said."""

    def fail(self, code: str) -> None:
        """Nothing is said."""


_NOTHING: AbstractContextManager[Opened] = nullcontext(_Nothing())


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether the environment asks for traces."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() == "none":
        return False
    return any(environment.get(name, "").strip() for name in ENDPOINTS)


def configure(process: str) -> Tracing | None:
    """Begin to export, if the environment asks for it; `process` is this one's role. Once per process, before any work."""
    global _tracing
    if _tracing is None and wanted(os.environ):
        from telemetry.otel import Tracing

        _tracing = Tracing(process)
        atexit.register(close)
    return _tracing


def active() -> Tracing | None:
    """What exports, where traces are on."""
    return _tracing


def close() -> None:
    """Export what is left, for a few seconds at most, and end."""
    global _tracing
    if _tracing is not None:
        _tracing.close()
        _tracing = None


def opened(
    name: str, *, kind: Kind = "internal", headers: Mapping[str, str] | None = None, **attributes: Value
) -> AbstractContextManager[Opened]:
    """A span around what a caller asks for. It continues the trace that its `headers` name, if they name one, else begins one.

    Names of headers are in small letters. What they hold that is no trace is ignored, as the specification wants it.
    """
    if _tracing is None:
        return _NOTHING
    return _tracing.opened(name, kind=kind, headers=headers or {}, attributes=attributes)


def begun(name: str, **attributes: Value) -> AbstractContextManager[Opened]:
    """A span around work that a process does by itself; inside another span there is none more."""
    if _tracing is None or _tracing.place():
        return _NOTHING
    return _tracing.opened(name, kind="internal", headers={}, attributes=attributes)


def behind(text: str, span: str) -> AbstractContextManager[object]:
    """What is begun inside is a child of a span of the trace that `text` says, which somebody else exports."""
    if _tracing is None or (trace := Trace.parse(text)) is None:
        return _NOTHING
    return _tracing.inside(trace.behind(span))


def route(method: str, path: str) -> None:
    """Which of its routes a request took: it names the span that was opened for it."""
    if _tracing is not None:
        _tracing.route(method, path)


def place() -> str:
    """Where a task that is submitted now stands in a trace, as it lies in its row; empty where there is none."""
    return "" if _tracing is None else _tracing.place()
