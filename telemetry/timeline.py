"""What a task's rows tell of its time, as spans of a trace. Pure.

Names and attributes: docs/telemetry.md. Where OpenTelemetry has a convention (semantic conventions for generative AI), it is
followed. There is neither text nor a tool's arguments here, so none can be exported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from telemetry.context import Trace, span_id

Value = str | bool | int | float | Sequence[str]
Kind = Literal["internal", "server", "client", "producer", "consumer"]
Row = Mapping[str, Any]

OPERATIONS = {"embed": "embeddings", "prompt": "text_completion", "messages": "chat"}
"""How the conventions call a model call, by what it is given."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A span with its true times, in ns since 1970. `error` is a code; empty: it went well. `parent` is empty for a root."""

    name: str
    id: str
    parent: str
    start_ns: int
    end_ns: int
    kind: Kind = "internal"
    attributes: Mapping[str, Value] = field(default_factory=dict)
    error: str = ""


def spans_of(
    task: Row, turns: Sequence[Row], calls: Sequence[Row], *, trace: Trace, committed_ns: int = 0
) -> list[Span]:
    """The spans of a task that has ended. The rows are as `agents.recorder.traces` reads them.

    `committed_ns`: when the recorder had committed its end; 0: somebody else wrote it.
    """
    began, ended = _ns(task["created_at"]), _ns(task["finished_at"])
    whole = Span(
        name="task",
        id=span_id("task", task["id"]),
        parent=trace.span_id,
        start_ns=began,
        end_ns=ended,
        attributes={
            **_common(task),
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.id": str(task["agent_id"]),
            "gen_ai.agent.name": task["agent"],
            "opsite.revision": task["revision"],
            "opsite.state": task["state"],
            **_usage(task),
            **({"gen_ai.conversation.id": str(task["conversation"])} if task["conversation"] else {}),
        },
        error=_fault(task["state"], task["error"]),
    )
    spans = [whole]
    for turn in turns:
        spans += _of_turn(task, turn, whole, is_last=turn is turns[-1])
    spans += [_of_call(task, call, whole) for call in calls]
    if committed_ns:
        spans.append(
            Span(
                name="record",
                id=span_id("record", task["id"]),
                parent=whole.id,
                start_ns=ended,
                end_ns=max(ended, committed_ns),
                attributes=_common(task),
            )
        )
    return spans


def _of_turn(task: Row, turn: Row, whole: Span, *, is_last: bool) -> Iterator[Span]:
    common = {**_common(task), "opsite.turn": str(turn["id"]), "opsite.turn.number": turn["number"]}
    queued, ended = _ns(turn["queued_at"]), _ns(turn["finished_at"] or task["finished_at"])
    claimed = ended if turn["claimed_at"] is None else _ns(turn["claimed_at"])
    fault = _fault(turn["state"], task["error"] if is_last else None)
    never_ran = turn["claimed_at"] is None
    yield Span(
        name="queue",
        id=span_id("queue", turn["id"], 1),
        parent=whole.id,
        start_ns=min(queued, claimed),
        end_ns=claimed,
        attributes=common,
        error=fault if never_ran else "",
    )
    if never_ran:
        return
    reason = task["finish_reason"] if is_last else "tool_calls" if turn["calls"] else ""
    of_turn = Span(
        name="turn",
        id=span_id("turn", turn["id"]),
        parent=whole.id,
        start_ns=claimed,
        end_ns=max(claimed, ended),
        kind="client",
        attributes={
            **common,
            "gen_ai.operation.name": OPERATIONS[task["given"]],
            "gen_ai.provider.name": task["engine"],
            "gen_ai.request.model": task["model"],
            "gen_ai.response.model": task["model"],
            **_sampling(task["params"]),
            **_usage(turn),
            **({"gen_ai.response.finish_reasons": (reason,)} if reason else {}),
            "opsite.worker": turn["worker"],
            "opsite.attempts": turn["attempts"],
            "opsite.state": turn["state"],
            "opsite.summarises": bool(turn["summarises"]),
        },
        error=fault,
    )
    yield of_turn
    first = None if turn["first_token_at"] is None else _ns(turn["first_token_at"])
    if not turn["attempt_log"]:
        yield from _phases(of_turn, turn, 1, first, common)
        return
    yield from _attempts(of_turn, turn, first, common)


def _attempts(of_turn: Span, turn: Row, first: int | None, common: Mapping[str, Value]) -> Iterator[Span]:
    """One span for each, and one for each wait between two of them."""
    log = {int(number): entry for number, entry in turn["attempt_log"].items()}
    left: int | None = None
    for number, entry in sorted(log.items()):
        start = _ms(entry.get("claimed_ms") or 0) or of_turn.start_ns
        given_up = entry.get("ended_ms")
        end = max(start, _ms(given_up) if given_up else of_turn.end_ns)
        if left is not None:
            yield Span(
                name="queue",
                id=span_id("queue", turn["id"], number),
                parent=of_turn.id,
                start_ns=min(left, start),
                end_ns=start,
                attributes=common,
            )
        left = end
        attempt = Span(
            name="attempt",
            id=span_id("attempt", turn["id"], number),
            parent=of_turn.id,
            start_ns=start,
            end_ns=end,
            attributes={**common, "opsite.attempt": number, "opsite.worker": entry.get("worker") or ""},
            error="requeued" if given_up else "",
        )
        yield attempt
        own = entry.get("first_token_ms")
        token = _ms(own) if own else first if first is not None and start <= first <= end else None
        yield from _phases(attempt, turn, number, token, common)


def _phases(within: Span, turn: Row, number: int, first: int | None, common: Mapping[str, Value]) -> Iterator[Span]:
    """Until the first token, and from it on; nothing where its time is not known. The worker's clock may be a little off."""
    if first is None:
        return
    token = min(max(first, within.start_ns), within.end_ns)
    for name, start, end in (("prefill", within.start_ns, token), ("decode", token, within.end_ns)):
        yield Span(
            name=name,
            id=span_id(name, turn["id"], number),
            parent=within.id,
            start_ns=start,
            end_ns=end,
            attributes=common,
        )


def _of_call(task: Row, call: Row, whole: Span) -> Span:
    start = _ns(call["started_at"] or call["created_at"])
    return Span(
        name="tool",
        id=span_id("tool", call["id"]),
        parent=whole.id,
        start_ns=start,
        end_ns=max(start, _ns(call["finished_at"] or task["finished_at"])),
        attributes={
            **_common(task),
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": call["name"],
            "gen_ai.tool.call.id": call["call_id"],
            "opsite.turn": str(call["turn"]),
            "opsite.attempts": call["attempts"],
            "opsite.state": call["state"],
        },
        error="tool_failed" if call["state"] == "failed" else "",
    )


def _common(task: Row) -> dict[str, Value]:
    return {"opsite.task": str(task["id"]), "opsite.tenant": str(task["tenant"]), "opsite.pool": task["pool"]}


def _usage(row: Row) -> dict[str, Value]:
    return {
        "gen_ai.usage.input_tokens": row["prompt_tokens"],
        "gen_ai.usage.output_tokens": row["completion_tokens"],
        "gen_ai.usage.cache_read.input_tokens": row["cached_tokens"],
    }


def _sampling(params: Mapping[str, Any]) -> dict[str, Value]:
    """What of the sampling parameters the conventions name. `stop` is text, which stays here."""
    return {
        f"gen_ai.request.{name}": params[name]
        for name in ("max_tokens", "temperature", "top_p", "top_k", "seed")
        if isinstance(params.get(name), int | float)
    }


def _fault(state: str, code: str | None) -> str:
    return "" if state == "succeeded" else (code or state) if state in ("failed", "cancelled", "expired") else ""


def _ns(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def _ms(unix_ms: int) -> int:
    return unix_ms * 1_000_000
