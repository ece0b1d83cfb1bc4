"""The client's interface, once: `AsyncQueue` and `Queue` offer these calls on one pool, awaited or not.

The synchronous client (`taskqueue.sync_client.Queue`) has the same methods without `await`.
All of them raise `taskqueue.failures.QueueUnavailable` when Redis cannot be reached or refuses to work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from taskqueue.messages import (
    ClaimedTurn,
    Delta,
    Enqueued,
    Event,
    EventKind,
    Finish,
    Held,
    OutcomeState,
    PoolSignals,
    Record,
    Stop,
    Submission,
    TaskError,
    WorkerStatus,
)
from taskqueue.outlook import Place


class AsyncQueuePort(Protocol):
    """One pool's queue."""

    pool: str

    # -- for those who submit ------------------------------------------------------------------
    async def enqueue(self, submissions: Sequence[Submission]) -> list[Enqueued]:
        """Put turns into the queue in one pipeline; answers in the same order."""
        ...

    async def hold(self, tasks: Sequence[Held]) -> list[Enqueued]:
        """Begin the streams of tasks that wait for their conversations; refused where a limit of waiting tasks is reached."""
        ...

    async def place(self, turn: str) -> Place | None:
        """Where a turn stands; None if it does not wait."""
        ...

    async def cancel(self, turns: Sequence[str], *, reason: str = "cancelled") -> list[str]:
        """Cancel turns; per turn: `ended` (was waiting), `stopping` (a worker holds it), `over` or `unknown`."""
        ...

    async def known(self, turns: Sequence[str]) -> list[bool]:
        """Which turns Redis knows (waiting, running, or done and not yet acknowledged)."""
        ...

    # -- for followers -------------------------------------------------------------------------
    async def follow(self, task: str, inbox: str) -> int:
        """Send the task's new events to `inbox` from now on; returns the log's last sequence number (0: no log)."""
        ...

    async def unfollow(self, task: str, inbox: str) -> None: ...

    async def read_log(self, task: str, *, after: int = 0, count: int = 1000) -> list[Event]:
        """Events with a sequence number above `after`, oldest first."""
        ...

    async def read_raw(self, task: str, *, first: int) -> str:
        """What the model has written from the event `first` on, tool calls included."""
        ...

    # -- for those who act between the turns of a task --------------------------------------------
    async def note(self, task: str, kind: EventKind, data: str, *, once: str) -> int:
        """Append an event (JSON) to the log of a task that waits between its turns; its number, 0 if it does not wait there.

        An event whose `id` is `once` and that stands there already is not told twice.
        """
        ...

    async def end_task(self, task: str, *, turn: str, state: OutcomeState, error: TaskError | None = None) -> bool:
        """End a task that waits between its turns; `turn` is its last. False if it does not wait, so that its end is elsewhere."""
        ...

    # -- for workers ---------------------------------------------------------------------------
    async def claim(self, worker: str, slots: int, *, lease_s: float) -> list[ClaimedTurn]:
        """Take up to `slots` turns in fair order."""
        ...

    async def wait_for_work(self, *, timeout_s: float) -> bool:
        """Sleep until something was enqueued or the time is over; uses a connection of its own."""
        ...

    async def emit(self, worker: str, deltas: Sequence[Delta]) -> list[Stop]:
        """Append text events of many turns at once; returns the turns that the worker must stop."""
        ...

    async def finish(self, worker: str, finishes: Sequence[Finish]) -> list[Stop]:
        """End turns; a turn that the worker no longer holds comes back as `Stop(reason="lost")` and is left alone."""
        ...

    async def heartbeat(self, status: WorkerStatus, turns: Sequence[str], *, lease_s: float) -> list[Stop]:
        """Extend the leases of `turns`, publish the worker's status, and learn which turns to stop (`lost`: not held any more)."""
        ...

    async def release(self, worker: str, turns: Sequence[str]) -> int:
        """Give turns back to the queue (drain): another worker goes on from the last streamed token."""
        ...

    async def leave(self, worker: str) -> None:
        """Remove the worker's status (its last act). What it was asked to stop stays asked: a turn that it still holds ends so."""
        ...

    async def abandon(self, worker: str) -> int:
        """The last act of a worker that failed: the next `reap` takes it for lost. Returns how many turns it held."""
        ...

    # -- for the orchestrator and the recorder -------------------------------------------------
    async def dismiss(self, worker: str) -> int:
        """Before somebody kills a worker: that it will be lost counts against none of its turns. Returns how many it holds.

        `abandon` after the kill has the next `reap` take them back at once, and not when their leases lapse.
        """
        ...

    async def reap(self, *, max_attempts: int = 3, max_losses: int = 2, lease_s: float = 5.0) -> int:
        """Requeue turns with lapsed leases, fail those out of attempts, expire those past their deadline; returns how many.

        A worker is lost that has not beaten for `lease_s`. From a turn's `max_losses`th loss on it is kept apart; or set aside, if
        the worker held nothing else. `max_attempts` counts the leases that lapsed while their workers were well.
        """
        ...

    async def limit(self, running: Mapping[str, int]) -> int:
        """Have these running limits of tenants and API keys (by id; who is not named has none) hold now; returns how many changed.

        Owners without turns here may be named: their next turn says their limit itself.
        """
        ...

    async def signals(self) -> PoolSignals: ...

    async def read_records(self, *, count: int = 500, block_s: float = 0.0) -> list[Record]:
        """The oldest records that are not yet acknowledged; waits up to `block_s` for a first one."""
        ...

    async def acknowledge(self, records: Sequence[Record], *, keep_log_s: float = 3600.0) -> None:
        """Forget records that are committed; finished turns leave Redis, their logs after `keep_log_s`."""
        ...
