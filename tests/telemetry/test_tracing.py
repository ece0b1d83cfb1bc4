"""Spans of this process's own: whose children they are, what is sampled, and that nothing is there where traces are off."""

from __future__ import annotations

import subprocess
import sys

import pytest

from telemetry import tracing
from telemetry.context import Trace, span_id
from telemetry.otel import Tracing
from tests.conftest import ROOT
from tests.telemetry.collector import Collector

TRACE_ID, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLER = f"00-{TRACE_ID}-{SPAN}-01"


def place() -> Trace:
    trace = Trace.parse(tracing.place())
    assert trace is not None
    return trace


def test_a_callers_trace_is_continued(traced: Tracing, collector: Collector) -> None:
    with tracing.opened("POST", kind="server", headers={"traceparent": CALLER, "tracestate": "a=1,b=2"}):
        inside = place()
    tracing.close()
    span = collector.one("POST")
    assert (span.trace, span.parent, span.id) == (TRACE_ID, SPAN, inside.span_id)
    assert (inside.trace_id, inside.sampled, inside.state) == (TRACE_ID, True, "a=1,b=2")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID.upper()}-{SPAN}-01",
        f"00-{TRACE_ID}-{SPAN}-01-more",
        f"ff-{TRACE_ID}-{SPAN}-01",
        f"{CALLER},{CALLER}",
        f"00-{TRACE_ID}-{SPAN}-01" + "0" * 10_000,
    ],
)
def test_a_bad_traceparent_is_ignored(traced: Tracing, header: str) -> None:
    with tracing.opened("POST", kind="server", headers={"traceparent": header, "tracestate": "a=1"}):
        own = place()
    assert own.trace_id != TRACE_ID
    assert (own.sampled, own.state) == (True, "")


def test_a_later_version_is_read_as_the_first(traced: Tracing) -> None:
    with tracing.opened("POST", headers={"traceparent": f"cc-{TRACE_ID}-{SPAN}-01-of-the-future"}):
        assert place().trace_id == TRACE_ID


@pytest.mark.parametrize("state", ["x" * 2000, "not a member", "=,;"])
def test_a_bad_tracestate_goes_alone(traced: Tracing, state: str) -> None:
    with tracing.opened("POST", headers={"traceparent": CALLER, "tracestate": state}):
        assert (place().trace_id, place().state) == (TRACE_ID, "")


def test_what_the_caller_does_not_sample_is_not_exported(traced: Tracing, collector: Collector) -> None:
    with tracing.opened("POST", headers={"traceparent": CALLER[:-1] + "0"}):
        assert (place().trace_id, place().sampled) == (TRACE_ID, False)
    tracing.close()
    assert collector.spans == []


def test_a_ratio_samples_some(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{collector.url}/v1/traces")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    tracing.configure("test")
    try:
        with tracing.opened("POST"):
            assert not place().sampled
        with tracing.opened("POST", headers={"traceparent": CALLER}):
            assert place().sampled
    finally:
        tracing.close()


def test_work_that_a_process_begins_by_itself_is_a_root_once(traced: Tracing, collector: Collector) -> None:
    with tracing.begun("schedule", **{"opsite.schedule": "s"}):
        outer = place()
        with tracing.begun("submit"):
            assert place() == outer
    tracing.close()
    (span,) = collector.spans
    assert (span.name, span.parent, span.attributes["opsite.schedule"]) == ("schedule", "", "s")


def test_what_a_tool_call_begins_is_its_child(traced: Tracing) -> None:
    call = span_id("tool", "c")
    with tracing.behind(CALLER, call), tracing.begun("submit"):
        assert place() == Trace(TRACE_ID, call, sampled=True)
    with tracing.behind("", call):
        assert tracing.place() == ""


def test_a_failure_is_told_by_its_code(traced: Tracing, collector: Collector) -> None:
    def fails() -> None:
        with tracing.opened("websocket submit"):
            raise ValueError("a text that may quote a prompt")

    with pytest.raises(ValueError, match="a text"):
        fails()
    tracing.close()
    span = collector.one("websocket submit")
    assert span.is_error
    assert span.attributes["error.type"] == "ValueError"
    assert not any(b"may quote" in body for body in collector.bodies)


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_traces_are_on_where_there_is_an_endpoint(environment: dict[str, str], wanted: bool) -> None:
    assert tracing.wanted(environment) is wanted


def test_off_there_is_nothing() -> None:
    assert tracing.active() is None
    with tracing.opened("POST", headers={"traceparent": CALLER}), tracing.begun("submit") as span:
        span.set({"a": 1})
        span.fail("x")
        assert tracing.place() == ""
    code = (
        "import agents.recorder, telemetry.requests, telemetry.tracing, sys\n"
        "assert telemetry.tracing.configure('web') is None\n"
        "assert not [name for name in sys.modules if name in ('telemetry.otel', 'opentelemetry.sdk.trace')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env={"PATH": "/usr/bin:/bin"})
