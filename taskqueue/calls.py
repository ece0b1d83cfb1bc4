"""The protocol without input and output: each state change as a script, its arguments, and how to read the answer.

Both clients run these calls; nothing here knows a connection. What lies in streams is read by `taskqueue.entries`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

import msgspec

from taskqueue.entries import RecordBody, pack_tokens, unpack_tokens
from taskqueue.messages import (
    ClaimedTurn,
    Delta,
    Enqueued,
    EventKind,
    Finish,
    Held,
    OutcomeState,
    PoolSignals,
    Record,
    Stop,
    Submission,
    TaskError,
    TurnBody,
    WorkerStatus,
)
from taskqueue.outlook import Outlook, Pace, Place
from taskqueue.scripts import Script, script

T = TypeVar("T")

WORKER_STATUS_S = 60.0
"""How long a worker that fell silent stays in the signals (with its last `beat_ms`)."""

DISMISSED_S = 3600.0
"""For so long a worker that was killed is excused: its leases have lapsed, and somebody has looked, long before."""

_encoder = msgspec.msgpack.Encoder()
_body_decoder = msgspec.msgpack.Decoder(TurnBody)
_status_decoder = msgspec.msgpack.Decoder(WorkerStatus)
_outlook_decoder = msgspec.json.Decoder(Outlook)


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One state change: run `script` on the pool's prefix with `args`; `parse` turns the answer into a value."""

    script: Script
    args: tuple[Any, ...]
    parse: Callable[[Any], T]


def enqueue(submission: Submission) -> Call[Enqueued]:
    """A turn enters the queue."""
    args = (
        submission.turn,
        submission.task,
        submission.tenant,
        submission.priority,
        submission.deadline_ms,
        submission.estimated_tokens,
        submission.weight,
        submission.max_waiting,
        submission.pool_max_waiting,
        submission.max_running,
        submission.key,
        submission.key_max_waiting,
        submission.key_max_running,
        submission.inbox,
        _encoder.encode(submission.body),
        int(submission.is_new),
    )
    return Call(script("enqueue"), args, _enqueued)


def hold(held: Held) -> Call[Enqueued]:
    """A task waits for its conversation."""
    args = (
        held.task,
        held.tenant,
        held.before,
        held.max_waiting,
        held.key,
        held.before_of_key,
        held.key_max_waiting,
        held.inbox,
    )
    return Call(script("hold"), args, _enqueued)


def place(turn: str) -> Call[Place | None]:
    """Where a waiting turn stands."""
    return Call(script("place"), (turn,), _place)


def claim(worker: str, slots: int, *, lease_s: float) -> Call[list[ClaimedTurn]]:
    """A worker takes up to `slots` turns."""
    return Call(script("claim"), (worker, slots, _ms(lease_s)), lambda answer: [_claimed(row) for row in answer])


def emit(worker: str, deltas: Sequence[Delta]) -> Call[list[Stop]]:
    """Text of one engine step."""
    args: list[Any] = [worker]
    for delta in deltas:
        raw = "" if delta.raw is None else json_text(delta.raw)
        kind, data = _told(delta)
        args += (delta.turn, delta.attempt, delta.seq, kind, data, pack_tokens(delta.token_ids), raw)
    return Call(script("emit"), tuple(args), _stops)


def finish(worker: str, finishes: Sequence[Finish]) -> Call[list[Stop]]:
    """Turns end by their holder's word."""
    args: list[Any] = [worker]
    for finish in finishes:
        record = RecordBody(
            kind="finished",
            turn=finish.turn,
            task=finish.task,
            attempt=finish.attempt,
            worker=worker,
            state=finish.state,
            finish_reason=finish.finish_reason,
            prompt_tokens=finish.usage.prompt_tokens,
            completion_tokens=finish.usage.completion_tokens,
            cached_tokens=finish.usage.cached_tokens,
            error=None if finish.error is None else {"code": finish.error.code, "message": finish.error.message},
            text=finish.text,
            first_token_ms=finish.first_token_ms,
            tool_calls=finish.tool_calls,
            goes_on=finish.goes_on,
            has_logprobs=finish.has_logprobs,
            context=finish.context,
        )
        served = finish.usage.prompt_tokens + finish.usage.completion_tokens
        kind, data = goes_on_data(finish) if finish.goes_on else ("", "")
        args += (
            finish.turn,
            finish.attempt,
            finish.seq,
            outcome_data(finish),
            _encoder.encode(record),
            served,
            kind,
            data,
        )
    return Call(script("finish"), tuple(args), _stops)


def heartbeat(status: WorkerStatus, turns: Sequence[str], *, lease_s: float) -> Call[list[Stop]]:
    """A worker is alive and runs `turns`."""
    args = (status.worker, _ms(lease_s), _encoder.encode(status), _ms(WORKER_STATUS_S), *turns)
    return Call(script("heartbeat"), args, _stops)


def release(worker: str, turns: Sequence[str]) -> Call[int]:
    """A worker gives turns back."""
    return Call(script("release"), (worker, *turns), int)


def abandon(worker: str) -> Call[int]:
    """A worker ends by a failure of its own."""
    return Call(script("abandon"), (worker,), int)


def dismiss(worker: str) -> Call[int]:
    """A worker is about to be killed by somebody."""
    return Call(script("dismiss"), (worker, _ms(DISMISSED_S)), int)


def reap(*, max_attempts: int, max_losses: int, lease_s: float, limit: int = 500) -> Call[int]:
    """Lapsed leases and passed deadlines, at most `limit` of each."""
    return Call(script("reap"), (max_attempts, max_losses, _ms(lease_s), limit), int)


def cancel(turns: Sequence[str], *, reason: str) -> Call[list[str]]:
    """Turns are not wanted any more."""
    return Call(script("cancel"), (reason, *turns), lambda answer: [_text(word) for word in answer])


def follow(task: str, inbox: str) -> Call[int]:
    """An inbox gets a task's new events."""
    return Call(script("follow"), (task, inbox), int)


def note(task: str, kind: EventKind, data: str, once: str) -> Call[int]:
    """An event of a task between its turns."""
    return Call(script("note"), (task, kind, data, once), int)


def end_task(task: str, turn: str, state: OutcomeState, error: TaskError | None) -> Call[bool]:
    """The end of a task between its turns."""
    outcome: dict[str, Any] = {"state": state}
    record = RecordBody(kind="closed", turn=turn, task=task, attempt=0, state=state)
    if error is not None:
        outcome["error"] = error
        record = msgspec.structs.replace(record, error={"code": error.code, "message": error.message})
    return Call(script("end_task"), (task, msgspec.json.encode(outcome).decode(), _encoder.encode(record)), bool)


def restart(tasks: Sequence[str]) -> Call[int]:
    """Tasks of which Redis knows nothing begin anew."""
    return Call(script("restart"), tuple(tasks), int)


def acknowledge(records: Sequence[Record], *, keep_log_s: float) -> Call[None]:
    """Committed records leave."""
    args: list[Any] = [_ms(keep_log_s)]
    for record in records:
        ended = record.kind == "closed" or (record.kind == "finished" and not record.goes_on)
        args += [record.id, record.turn if record.kind == "finished" else "", record.task if ended else ""]
    return Call(script("acknowledge"), tuple(args), lambda _: None)


def limit(running: Mapping[str, int]) -> Call[int]:
    """The running limits of tenants and API keys, by id; who is not named has none."""
    return Call(script("limit"), (_encoder.encode(dict(running)),), int)


def signals() -> Call[PoolSignals]:
    """Demand and fleet in one read."""
    return Call(script("signals"), (_ms(WORKER_STATUS_S),), _signals)


def json_text(text: str) -> str:
    """A JSON string literal."""
    return msgspec.json.encode(text).decode()


def _told(delta: Delta) -> tuple[EventKind, str]:
    """A delta as an event: its kind and its data."""
    if delta.context is not None:
        return "context", msgspec.json.encode(delta.context).decode()
    if delta.logprobs:
        return "logprobs", msgspec.json.encode(delta.logprobs).decode()
    return "text", json_text(delta.text)


def outcome_data(finish: Finish) -> str:
    """The data of the outcome event: what a client sees of a task's end."""
    outcome: dict[str, Any] = {"state": finish.state}
    if finish.finish_reason is not None:
        outcome["finish_reason"] = finish.finish_reason
    if finish.error is not None:
        outcome["error"] = finish.error
    if finish.tool_calls:
        outcome["tool_calls"] = finish.tool_calls
    usage = {"prompt_tokens": finish.usage.prompt_tokens, "completion_tokens": finish.usage.completion_tokens}
    if finish.usage.cached_tokens:
        usage["cached_tokens"] = finish.usage.cached_tokens
    outcome["usage"] = usage
    return msgspec.json.encode(outcome).decode()


def goes_on_data(finish: Finish) -> tuple[EventKind, str]:
    """Kind and data of the event of a turn that is not its task's last: it ends in calls of the agent's own tools, or sums up."""
    if not finish.summarises:
        return "tool_calls", msgspec.json.encode({"tool_calls": finish.tool_calls, "usage": finish.usage}).decode()
    told: dict[str, Any] = {"state": finish.state, "messages": finish.summarises, "usage": finish.usage}
    if finish.error is not None:
        told["error"] = finish.error
    return "summary", msgspec.json.encode(told).decode()


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _enqueued(answer: Sequence[Any]) -> Enqueued:
    verdict, waiting, wait_ms, *more = answer
    place = _place(more[0]) if more else None
    return Enqueued(_text(verdict), waiting, wait_ms, place, _text(more[1]) if more[1:] else "")  # type: ignore[arg-type]


def _place(answer: Sequence[Any]) -> Place | None:
    if not answer:
        return None
    now_ms, before, own, waiting, tenants, running, limit, limit_running, others, turns, mean_ms, variance, outlook = (
        answer
    )
    return Place(
        now_ms=now_ms,
        before=before,
        own=own,
        waiting=waiting,
        tenants=tenants,
        running=running,
        limit=limit,
        limit_running=limit_running,
        others_per_s=float(others),
        pace=Pace(turns, float(mean_ms), float(variance)),
        outlook=read_outlook(bytes(outlook)) if outlook else None,
    )


@lru_cache(maxsize=256)
def read_outlook(blob: bytes) -> Outlook | None:
    """A pool's outlook; it is the same for all who ask within a tick. None where it cannot be read (it is of another release)."""
    try:
        return _outlook_decoder.decode(blob)
    except msgspec.DecodeError:
        return None


def read_status(blob: bytes) -> WorkerStatus:
    """What a worker said of itself, as the key `worker:<id>` holds it; the moment stands elsewhere."""
    return _status_decoder.decode(blob)


def _claimed(row: Sequence[Any]) -> ClaimedTurn:
    turn, task, tenant, attempt, seq, enqueued, deadline, body, streamed, first = row
    return ClaimedTurn(
        turn=_text(turn),
        task=_text(task),
        tenant=_text(tenant),
        attempt=attempt,
        seq=seq,
        enqueued_ms=enqueued,
        deadline_ms=deadline,
        body=_body_decoder.decode(body),
        streamed=unpack_tokens(streamed),
        first=first,
    )


def _stops(answer: Sequence[Sequence[bytes]]) -> list[Stop]:
    return [Stop(_text(turn), _text(reason)) for turn, reason in answer]  # type: ignore[arg-type]


def _signals(answer: Sequence[Any]) -> PoolSignals:
    now_ms, waiting, held_back, running, oldest_ms, waiting_tokens, arrived, arrived_tokens, *answer = answer
    unrecorded, oldest_record_ms, foretold_ms, *fleet = answer
    workers = tuple(
        msgspec.structs.replace(read_status(status), beat_ms=beat_ms)
        for beat_ms, status in zip(fleet[::2], fleet[1::2], strict=True)
    )
    return PoolSignals(
        now_ms=now_ms,
        waiting=waiting,
        held_back=held_back,
        running=running,
        oldest_wait_s=oldest_ms / 1000,
        waiting_tokens=waiting_tokens,
        arrived=arrived,
        arrived_tokens=arrived_tokens,
        unrecorded=unrecorded,
        oldest_record_s=max(0, oldest_record_ms) / 1000,
        foretold_ms=max(0, foretold_ms),
        workers=workers,
    )
