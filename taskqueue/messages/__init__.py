"""Every message that crosses a process wall through Redis, as a struct.

Times are Unix milliseconds of the Redis server's clock (`_ms`), durations seconds (`_s`). Bodies travel as MessagePack,
event data as ready JSON text, so that the web process splices it without decoding.
"""

from __future__ import annotations

from taskqueue.messages.bodies import (
    Allowance,
    ChatMessage,
    ContextRule,
    ContextUse,
    OutputForm,
    SamplingParams,
    ToolCall,
    ToolSpec,
    TurnBody,
)
from taskqueue.messages.fleet import PoolSignals, StartPhase, Work, WorkerPhase, WorkerStatus
from taskqueue.messages.line import ClaimedTurn, Enqueued, Held, Stop, StopReason, Submission
from taskqueue.messages.output import (
    INVALID_OUTPUT,
    Candidate,
    Delta,
    Event,
    EventKind,
    Finish,
    OutcomeState,
    Record,
    TaskError,
    TokenLogprob,
    Usage,
)

__all__ = [
    "INVALID_OUTPUT",
    "Allowance",
    "Candidate",
    "ChatMessage",
    "ClaimedTurn",
    "ContextRule",
    "ContextUse",
    "Delta",
    "Enqueued",
    "Event",
    "EventKind",
    "Finish",
    "Held",
    "OutcomeState",
    "OutputForm",
    "PoolSignals",
    "Record",
    "SamplingParams",
    "StartPhase",
    "Stop",
    "StopReason",
    "Submission",
    "TaskError",
    "TokenLogprob",
    "ToolCall",
    "ToolSpec",
    "TurnBody",
    "Usage",
    "Work",
    "WorkerPhase",
    "WorkerStatus",
]
