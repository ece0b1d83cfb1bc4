"""What lies in a pool's streams, as values: events of a task's log and of an inbox's messages, records, packed token ids.

Token ids are packed as little-endian unsigned 32-bit integers.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, cast

import msgspec

from taskqueue.messages import ContextUse, Event, EventKind, Record, ToolCall

_events_decoder = msgspec.msgpack.Decoder(list[Event])


class RecordBody(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A record as it lies in the stream; id and time come from the entry's own id."""

    kind: str
    turn: str
    task: str
    attempt: int
    worker: str | None = None
    state: str | None = None
    finish_reason: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    error: dict[str, str] | None = None
    text: str | None = None
    first_token_ms: int = 0
    tool_calls: tuple[ToolCall, ...] = ()
    goes_on: bool = False
    after: int = 0
    has_logprobs: bool = False
    context: ContextUse | None = None
    claimed_ms: int = 0
    tokens: int = 0
    reason: str = ""


_record_decoder = msgspec.msgpack.Decoder(RecordBody)


def pack_tokens(token_ids: Sequence[int]) -> bytes:
    """Token ids as they lie in the log."""
    return struct.pack(f"<{len(token_ids)}I", *token_ids)


def unpack_tokens(packed: bytes) -> tuple[int, ...]:
    """The inverse of `pack_tokens`."""
    return struct.unpack(f"<{len(packed) // 4}I", packed)


def read_raw(entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> str:
    """What the model wrote, in entries of a task's log: of one turn, if they are of one."""
    texts = [fields.get(b"r", fields[b"d"]) for _, fields in entries if fields[b"k"] == b"text"]
    return "".join(msgspec.json.decode(text, type=str) for text in texts)


def read_events(task: str, entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> list[Event]:
    """Entries of a task's log as events."""
    return [
        Event(task, int(entry_id.split(b"-", 1)[0]), cast("EventKind", fields[b"k"].decode()), fields[b"d"].decode())
        for entry_id, fields in entries
    ]


def pairs(entries: Sequence[Sequence[Any]]) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Entries of a stream as Redis' wire protocol gives them: fields and values in one flat list."""
    return [(entry, dict(zip(fields[::2], fields[1::2], strict=True))) for entry, fields in entries]


def read_letter(message: bytes) -> list[Event]:
    """One inbox message: the new events of all followed turns of one script's run."""
    return _events_decoder.decode(message)


def read_record(entry_id: bytes, fields: dict[bytes, bytes]) -> Record:
    """An entry of the record stream; its id carries Redis' clock."""
    body = _record_decoder.decode(fields[b"r"])
    return msgspec.convert(
        {
            "id": entry_id.decode(),
            "at_ms": int(entry_id.split(b"-", 1)[0]),
            "kind": body.kind,
            "turn": body.turn,
            "task": body.task,
            "attempt": body.attempt,
            "worker": body.worker,
            "state": body.state,
            "finish_reason": body.finish_reason,
            "usage": {
                "prompt_tokens": body.prompt_tokens,
                "completion_tokens": body.completion_tokens,
                "cached_tokens": body.cached_tokens,
            },
            "error": body.error,
            "text": body.text,
            "first_token_ms": body.first_token_ms,
            "tool_calls": body.tool_calls,
            "goes_on": body.goes_on,
            "after": body.after,
            "has_logprobs": body.has_logprobs,
            "context": body.context,
            "claimed_ms": body.claimed_ms,
            "tokens": body.tokens,
            "reason": body.reason,
        },
        Record,
    )


def read_records(answer: Any) -> list[Record]:
    """The answer of XREAD on one record stream, whichever of the protocol's versions gave it."""
    return [read_record(entry_id, fields) for entry_id, fields in _only_stream(answer)]


def _only_stream(answer: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    if not answer:
        return []
    return cast(
        "list[tuple[bytes, dict[bytes, bytes]]]",
        next(iter(answer.values()))[0] if isinstance(answer, dict) else answer[0][1],
    )
