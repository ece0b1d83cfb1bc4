"""What comes of a turn: text as it is made, its end, what followers see, and what the recorder brings to Postgres."""

from __future__ import annotations

from typing import Literal

import msgspec

from taskqueue.messages.bodies import ContextUse, ToolCall

EventKind = Literal[
    "state", "attempt", "context", "text", "logprobs", "tool_calls", "tool_result", "summary", "outcome", "restart"
]
OutcomeState = Literal["succeeded", "failed", "cancelled", "expired"]
INVALID_OUTPUT = "invalid_output"
"""The code of a task whose answer does not have the form that was asked for; the answer is kept with it."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A token with the natural logarithm of its probability. `bytes` are its own; `token` may be only part of a character."""

    token: str
    logprob: float
    bytes: tuple[int, ...]


class TokenLogprob(Candidate, frozen=True, kw_only=True):
    """A token of the answer, and the likeliest ones in its place, in OpenAI's form."""

    top_logprobs: tuple[Candidate, ...] = ()


class Delta(msgspec.Struct, frozen=True, kw_only=True):
    """New text of one turn in one engine step: `text` may be empty while `token_ids` wait for a complete character.

    `raw` is what the model wrote where that is not what is shown (the text of tool calls), None elsewhere. One with `logprobs` is
    an event of its own: it tells them of the tokens of the text that comes next. So is one with `context`, before all text.
    """

    turn: str
    attempt: int
    seq: int
    text: str
    token_ids: tuple[int, ...]
    raw: str | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    context: ContextUse | None = None


class Usage(msgspec.Struct, frozen=True):
    """Tokens of a turn; `completion_tokens` counts those of earlier attempts too.

    `cached_tokens`: those of the prompt that the engine had not to read anew (its prefix cache), where it tells of them.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


class TaskError(msgspec.Struct, frozen=True):
    """Why a task failed: a stable code and a sentence for people."""

    code: str
    message: str


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a turn, from its holder. `text` is the whole answer, earlier attempts included.

    `tool_calls` are what the model wants called. With `goes_on` they are Opsite's to call: the task waits for their results. A turn
    that `summarises` so many messages goes on whether it succeeded or failed. `has_logprobs`: the log has the answer's log
    probabilities. `first_token_ms`: when this attempt made its first token.
    """

    turn: str
    task: str
    attempt: int
    seq: int
    state: OutcomeState
    finish_reason: str | None = None
    usage: Usage = Usage()
    error: TaskError | None = None
    text: str | None = None
    first_token_ms: int = 0
    tool_calls: tuple[ToolCall, ...] = ()
    goes_on: bool = False
    has_logprobs: bool = False
    context: ContextUse | None = None
    summarises: int = 0


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A change that the recorder brings to Postgres. `id` is the entry's id in the `record` stream.

    `kind` is `claimed`, `requeued`, `finished`, or `closed` (a task ended between two turns; `turn` is its last). `text` is absent
    where the queue itself ended the turn: then the log has it, from the event `after` on. With `goes_on` the task did not end. Of
    one that was `requeued` it is told when its attempt began (`claimed_ms`), when that made its first token (`first_token_ms`,
    0: it made none), how many `tokens` all attempts had streamed, and the `reason` for which it was given up: `worker_lost` or
    `handed_over`.
    `has_logprobs` as in `Finish`.
    """

    id: str
    at_ms: int
    kind: Literal["claimed", "requeued", "finished", "closed"]
    turn: str
    task: str
    attempt: int
    worker: str | None = None
    state: OutcomeState | None = None
    finish_reason: str | None = None
    usage: Usage = Usage()
    error: TaskError | None = None
    text: str | None = None
    first_token_ms: int = 0
    tool_calls: tuple[ToolCall, ...] = ()
    goes_on: bool = False
    after: int = 0
    has_logprobs: bool = False
    claimed_ms: int = 0
    tokens: int = 0
    reason: str = ""
    context: ContextUse | None = None


class Event(msgspec.Struct, frozen=True, array_like=True):
    """One event of a task as followers see it. `data` is JSON text (for `text`: a JSON string literal)."""

    task: str
    seq: int
    kind: EventKind
    data: str
