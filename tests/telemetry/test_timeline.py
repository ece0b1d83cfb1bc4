"""Rows as spans: what never ran, what was lost, clocks that differ."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from telemetry.context import Trace
from telemetry.timeline import Span, spans_of

START = datetime(2026, 1, 1, tzinfo=UTC)
NS0 = int(START.timestamp()) * 1_000_000_000
TRACE = Trace("a" * 32, "b" * 16, sampled=True)


def at(seconds: float | None) -> datetime | None:
    return None if seconds is None else START + timedelta(seconds=seconds)


def task(**more: Any) -> dict[str, Any]:
    row = {
        "id": "t", "tenant": "n", "agent_id": "a", "agent": "poet", "revision": 1, "pool": "p", "engine": "vllm", "model": "m",
        "state": "succeeded", "error": None, "finish_reason": "stop", "conversation": None, "prompt_tokens": 3,
        "completion_tokens": 4, "cached_tokens": 0, "created_at": at(0), "finished_at": at(10), "given": "messages",
        "params": {"max_tokens": 5, "temperature": 0.5, "stop": ["what a tenant wrote"]},
    }  # fmt: skip
    return row | more


def turn(
    *, queued: float = 0, claimed: float | None = 1, first: float | None = 2, ended: float = 10, **more: Any
) -> dict[str, Any]:
    row = {
        "id": "u", "number": 1, "state": "succeeded", "attempts": 1, "worker": "w", "prompt_tokens": 3, "completion_tokens": 4,
        "cached_tokens": 0, "attempt_log": None, "summarises": False, "calls": False, "queued_at": at(queued),
        "claimed_at": at(claimed), "first_token_at": at(first), "finished_at": at(ended),
    }  # fmt: skip
    return row | more


def times(span: Span) -> tuple[float, float]:
    return (span.start_ns - NS0) / 1e9, (span.end_ns - NS0) / 1e9


def named(spans: list[Span], name: str) -> list[Span]:
    return [span for span in spans if span.name == name]


def test_one_turn() -> None:
    spans = spans_of(task(), [turn()], [], trace=TRACE, committed_ns=NS0 + 10_500_000_000)
    assert [(span.name, *times(span)) for span in spans] == [
        ("task", 0, 10), ("queue", 0, 1), ("turn", 1, 10), ("prefill", 1, 2), ("decode", 2, 10), ("record", 10, 10.5),
    ]  # fmt: skip
    whole, queue, model, *phases, record = spans
    assert whole.parent == TRACE.span_id
    assert {queue.parent, model.parent, record.parent} == {whole.id}
    assert {span.parent for span in phases} == {model.id}
    assert model.attributes["gen_ai.request.max_tokens"] == 5
    assert not any("stop" in name for name in model.attributes if name.startswith("gen_ai.request"))


def test_a_turn_that_no_worker_took_only_waited() -> None:
    row = turn(claimed=None, first=None, state="expired")
    spans = spans_of(task(state="expired"), [row], [], trace=TRACE)
    assert [(span.name, span.error) for span in spans] == [("task", "expired"), ("queue", "expired")]
    assert times(spans[1]) == (0, 10)


def test_a_failed_task_tells_its_code_and_no_sentence() -> None:
    spans = spans_of(task(state="failed", error="engine_error"), [turn(state="failed")], [], trace=TRACE)
    assert {span.error for span in spans if span.name in ("task", "turn")} == {"engine_error"}


def test_a_workers_clock_that_differs_turns_no_span_around() -> None:
    for first in (0.5, 11.0):
        spans = spans_of(task(), [turn(first=first)], [], trace=TRACE)
        assert all(span.start_ns <= span.end_ns for span in spans)
        (prefill,) = named(spans, "prefill")
        assert times(prefill)[1] == min(max(first, 1), 10)


def test_attempts_and_the_waits_between_them() -> None:
    ms = NS0 // 1_000_000
    log = {
        "1": {"worker": "v", "claimed_ms": ms + 1000, "ended_ms": ms + 4000, "tokens": 2, "first_token_ms": ms + 2000},
        "2": {"worker": "x", "claimed_ms": ms + 5000, "ended_ms": ms + 6000, "tokens": 2},
        "10": {"worker": "w", "claimed_ms": ms + 7000, "first_token_ms": ms + 8000},
    }
    spans = spans_of(task(), [turn(attempt_log=log, attempts=3)], [], trace=TRACE)
    attempts = named(spans, "attempt")
    assert [(times(span), span.error) for span in attempts] == [
        ((1, 4), "requeued"),
        ((5, 6), "requeued"),
        ((7, 10), ""),
    ]
    (model,) = named(spans, "turn")
    waits = [times(span) for span in named(spans, "queue") if span.parent == model.id]
    assert waits == [(4, 5), (6, 7)]
    phases = [(span.name, times(span), span.parent) for span in spans if span.name in ("prefill", "decode")]
    assert phases == [
        ("prefill", (1, 2), attempts[0].id), ("decode", (2, 4), attempts[0].id),
        ("prefill", (7, 8), attempts[2].id), ("decode", (8, 10), attempts[2].id),
    ]  # fmt: skip
    assert len({span.id for span in spans}) == len(spans)


def test_a_call_that_was_never_made_ends_with_its_task() -> None:
    call = {
        "id": "c", "turn": "u", "call_id": "call_1", "name": "look", "state": "running", "attempts": 0,
        "created_at": at(5), "started_at": None, "finished_at": None,
    }  # fmt: skip
    (tool,) = named(spans_of(task(state="cancelled"), [turn()], [call], trace=TRACE), "tool")
    assert times(tool) == (5, 10)
