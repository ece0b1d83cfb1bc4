"""Turns on their way into the queue, and out of it to a worker."""

from __future__ import annotations

from typing import Literal

import msgspec

from taskqueue.messages.bodies import TurnBody
from taskqueue.outlook import Place

StopReason = Literal["cancelled", "expired", "lost"]


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A turn to be enqueued.

    `priority` 0 (first) to 9 (last); `deadline_ms` 0 means none; `estimated_tokens` is the cost that fair share charges at claim;
    `inbox` names the web process that follows the task from its first event, or is empty; `key` is the id of the API key that
    submitted it, or empty. Of limits 0 means none: `max_waiting` and `max_running` are the tenant's in this pool,
    `key_max_waiting` and `key_max_running` the key's (the running ones hold from now on for all turns of their owner),
    `pool_max_waiting` is the whole pool's. `is_new`: its task was never accepted before, so it may also be refused for want of
    capacity or because its deadline comes too early.
    """

    turn: str
    task: str
    tenant: str
    body: TurnBody
    key: str = ""
    weight: float = 1.0
    priority: int = 5
    deadline_ms: int = 0
    estimated_tokens: int = 256
    max_waiting: int = 0
    pool_max_waiting: int = 0
    max_running: int = 0
    key_max_waiting: int = 0
    key_max_running: int = 0
    inbox: str = ""
    is_new: bool = False


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A task that waits for another one of its conversation, and is not enqueued yet.

    `before` and `before_of_key`: how many of the tenant and of the API key wait so already; they count to `max_waiting` and
    `key_max_waiting` (0: none). `inbox` as in `Submission`.
    """

    task: str
    tenant: str
    key: str = ""
    before: int = 0
    before_of_key: int = 0
    max_waiting: int = 0
    key_max_waiting: int = 0
    inbox: str = ""


class Enqueued(msgspec.Struct, frozen=True):
    """The queue's answer: `accepted`, `known` (it is already there), `full` (the tenant's limit), `key_full` (the API key's),
    `busy` (the pool's bound), `no_capacity` (the pool can have no worker: `reason`) or `too_late` (it could not start before its
    deadline).

    `waiting` are the tenant's turns; `wait_ms` says after a refusal when a place may be free, going by how the line moved.
    `place` is where an accepted turn stands, or where one that is too late would stand.
    """

    verdict: Literal["accepted", "known", "full", "key_full", "busy", "no_capacity", "too_late"]
    waiting: int
    wait_ms: int = 0
    place: Place | None = None
    reason: str = ""


class ClaimedTurn(msgspec.Struct, frozen=True, kw_only=True):
    """A turn that a worker now holds. `seq` is the last event number used; the holder's first event is `seq + 1`.

    `streamed` holds the token ids that earlier attempts already streamed: the engine continues behind them. `first` is the number
    of the turn's first event: what lies before it in the log is of the task's earlier turns.
    """

    turn: str
    task: str
    tenant: str
    attempt: int
    seq: int
    enqueued_ms: int
    deadline_ms: int
    body: TurnBody
    streamed: tuple[int, ...] = ()
    first: int = 0


class Stop(msgspec.Struct, frozen=True):
    """A turn that its worker must stop. `lost`: another holds it now, or nobody; say nothing more about it."""

    turn: str
    reason: StopReason
