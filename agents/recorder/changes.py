"""What a batch of records means for the rows in Postgres. Pure: records in, one change per turn out."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from agents.lifecycle import TaskState
from taskqueue.messages import Record

_AFTER = {"claimed": TaskState.RUNNING, "requeued": TaskState.QUEUED}


class TurnChange(msgspec.Struct, kw_only=True):
    """The state to which a turn and its task come. Times are Unix milliseconds, 0 for unknown.

    `goes_on`: the turn has ended, its task waits for what its tool calls bring. `closes`: the task ends, between two turns.
    `after` is where the turn's events begin in the log. `logprobs` are the answer's, a list in JSON; `has_logprobs`: the log has
    them. `attempt_log` has the attempts by number where there were several: the worker, `claimed_ms`, `first_token_ms` (where it
    made a token), and of one that was given up `ended_ms`, the `tokens` that all attempts had streamed by then, and the `reason`.
    `last_token_ms` is when the last of several attempts made its first token.
    """

    turn: str
    task: str
    state: str
    task_state: str = ""
    goes_on: bool = False
    closes: bool = False
    tool_calls: list[dict[str, str]] | None = None
    after: int = 0
    attempts: int
    worker: str | None = None
    claimed_ms: int = 0
    first_token_ms: int = 0
    finished_ms: int = 0
    finish_reason: str = ""
    error: dict[str, str] | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    text: str | None = None
    has_logprobs: bool = False
    logprobs: str | None = None
    attempt_log: dict[str, dict[str, str | int | None]] | None = None
    last_token_ms: int = 0
    context: dict[str, int | None] | None = None


ROWS = """
    SELECT x.*, to_timestamp(nullif(claimed_ms, 0) / 1000.0) AS claimed_at,
           to_timestamp(nullif(first_token_ms, 0) / 1000.0) AS token_at,
           to_timestamp(nullif(finished_ms, 0) / 1000.0) AS ended_at
    FROM jsonb_to_recordset(%(rows)s::jsonb) AS x(
        turn uuid, task uuid, message uuid, state text, task_state text, goes_on bool, closes bool, attempts int, worker text,
        claimed_ms bigint, first_token_ms bigint, finished_ms bigint, finish_reason text, error jsonb, prompt_tokens int,
        completion_tokens int, cached_tokens int, text text, logprobs text, tool_calls jsonb,
        attempt_log jsonb, last_token_ms bigint, context jsonb)
"""
"""The changes as rows, for the statements that write them."""


def fold(records: Iterable[Record]) -> list[TurnChange]:
    """One change per turn: the last state, the first claim, the outcome if there is one. One more where its task is closed."""
    changes: dict[tuple[str, bool], TurnChange] = {}
    for record in records:
        closes = record.kind == "closed"
        change = changes.setdefault(
            (record.turn, closes),
            TurnChange(turn=record.turn, task=record.task, state=TaskState.QUEUED.value, attempts=0, closes=closes),
        )
        if change.finished_ms:
            continue
        change.attempts = max(change.attempts, record.attempt)
        change.worker = record.worker or change.worker
        if record.kind in ("finished", "closed"):
            change.state = record.state or TaskState.FAILED.value
            change.finished_ms = record.at_ms
            change.finish_reason = record.finish_reason or ""
            change.error = None if record.error is None else msgspec.to_builtins(record.error)
            change.prompt_tokens = record.usage.prompt_tokens
            change.completion_tokens = record.usage.completion_tokens
            change.cached_tokens = record.usage.cached_tokens
            change.first_token_ms = change.first_token_ms or record.first_token_ms
            change.last_token_ms = record.first_token_ms if record.attempt > 1 else 0
            change.text = None if record.text is None else storable(record.text)
            change.goes_on = record.goes_on
            change.context = None if record.context is None else msgspec.to_builtins(record.context)
            change.after = record.after
            change.has_logprobs = record.has_logprobs
            if record.tool_calls:
                change.tool_calls = [
                    {"id": call.id, "name": storable(call.name), "arguments": storable(call.arguments)}
                    for call in record.tool_calls
                ]
            if closes:
                change.text = ""
        else:
            change.state = _AFTER[record.kind].value
            if record.kind == "claimed" and not change.claimed_ms:
                change.claimed_ms = record.at_ms
            if record.kind == "requeued":
                change.first_token_ms = change.first_token_ms or record.first_token_ms
            if record.kind == "requeued" or record.attempt > 1:
                change.attempt_log = {**(change.attempt_log or {}), str(record.attempt): _attempt(record)}
        change.task_state = TaskState.WAITING.value if change.goes_on else change.state
    return list(changes.values())


def _attempt(record: Record) -> dict[str, str | int | None]:
    if record.kind == "claimed":
        return {"worker": record.worker, "claimed_ms": record.at_ms}
    ended: dict[str, str | int | None] = {"ended_ms": record.at_ms, "tokens": record.tokens}
    if record.first_token_ms:
        ended["first_token_ms"] = record.first_token_ms
    if record.reason:
        ended["reason"] = record.reason
    return {"worker": record.worker, "claimed_ms": record.claimed_ms, **ended}


def storable(text: str) -> str:
    """Text as Postgres takes it: it knows no NUL and no lone surrogate."""
    return text.replace("\x00", "\ufffd").encode(errors="replace").decode()
