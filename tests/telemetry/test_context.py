"""A place in a trace as a string, and the ids of spans."""

from __future__ import annotations

import pytest

from telemetry.context import CHARS, Trace, headers_behind, span_id

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    "text", [f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-01 a=1,b=two words"]
)
def test_what_is_written_is_read(text: str) -> None:
    trace = Trace.parse(text)
    assert trace is not None
    assert str(trace) == text
    assert (trace.trace_id, trace.span_id, trace.sampled) == (TRACE, SPAN, text[54] == "1")


def test_no_trace_is_the_empty_string() -> None:
    assert Trace.parse("") is None
    assert headers_behind("", SPAN) == {}


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        f"00-{TRACE}-{SPAN}-02",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01 ",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE}-{SPAN}-01 a=\x7f",
        f"00-{TRACE}-{SPAN}-01 a={'x' * CHARS}",
    ],
)
def test_what_str_did_not_write_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a trace is written as"):
        Trace.parse(text)


def test_headers_name_the_span_that_calls() -> None:
    assert headers_behind(f"00-{TRACE}-{SPAN}-01 a=1", "c" * 16) == {
        "traceparent": f"00-{TRACE}-{'c' * 16}-01",
        "tracestate": "a=1",
    }
    assert headers_behind(f"00-{TRACE}-{SPAN}-00", "c" * 16) == {"traceparent": f"00-{TRACE}-{'c' * 16}-00"}


def test_ids_of_spans_tell_kinds_and_numbers_apart() -> None:
    ids = {span_id(kind, of, number) for kind in ("turn", "queue") for of in ("a", "b") for number in (0, 1)}
    assert len(ids) == 8
    assert all(len(one) == 16 and int(one, 16) for one in ids)
    assert span_id("turn", "a") == span_id("turn", "a", 0)
