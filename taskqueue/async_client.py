"""The asyncio client of one pool's queue; see `taskqueue.ports` for what each call promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from redis.exceptions import NoPermissionError, NoScriptError

from taskqueue import calls, entries, keys
from taskqueue.calls import Call
from taskqueue.failures import QueueUnavailable
from taskqueue.link import Command, Link
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

T = TypeVar("T")


async def run(link: Link, prefix: str, call: Call[T]) -> T:
    """One call on the keys that start with `prefix`."""
    try:
        answer = await link.ask("EVALSHA", call.script.sha, 1, prefix, *call.args)
    except NoScriptError:
        answer = await _bring(link, prefix, call)
    return call.parse(answer)


async def _bring(link: Link, prefix: str, call: Call[Any]) -> Any:
    """Run a script that Redis does not have. A worker's user may not: the orchestrator loads its scripts within a tick."""
    try:
        return await link.ask("EVAL", call.script.text, 1, prefix, *call.args)
    except NoPermissionError as error:
        raise QueueUnavailable(
            f"Redis has lost the script {call.script.name!r}, and the orchestrator has not loaded it again yet"
        ) from error


class AsyncQueue:
    """One pool's queue. Give a URL (`aclose` then hangs up) or a link that several queues share.

    Commands that block have a connection of their own, made when the first of them is used.
    """

    def __init__(self, redis: str | Link, pool: str) -> None:
        self.pool = pool
        self._prefix = keys.prefix(pool)
        self._owned = isinstance(redis, str)
        self._link = Link(redis) if isinstance(redis, str) else redis
        self._blocking = Link(self._link.url)

    @property
    def link(self) -> Link:
        """The connection for what does not block, for others to share."""
        return self._link

    async def aclose(self) -> None:
        """Close the connections that this client opened."""
        await self._blocking.aclose()
        if self._owned:
            await self._link.aclose()

    async def _run(self, call: Call[T]) -> T:
        return await run(self._link, self._prefix, call)

    async def _run_all(self, batch: Sequence[Call[T]]) -> list[T]:
        """Several calls in one round trip."""
        answers = await self._link.ask_all([self._command(call) for call in batch])
        parsed: list[T] = []
        for call, answer in zip(batch, answers, strict=True):
            if isinstance(answer, NoScriptError):  # it did not run
                parsed.append(await self._run(call))
            elif isinstance(answer, Exception):
                raise answer
            else:
                parsed.append(call.parse(answer))
        return parsed

    def _command(self, call: Call[Any]) -> Command:
        return ("EVALSHA", call.script.sha, 1, self._prefix, *call.args)

    async def enqueue(self, submissions: Sequence[Submission]) -> list[Enqueued]:
        return await self._run_all([calls.enqueue(submission) for submission in submissions]) if submissions else []

    async def hold(self, tasks: Sequence[Held]) -> list[Enqueued]:
        return await self._run_all([calls.hold(held) for held in tasks]) if tasks else []

    async def place(self, turn: str) -> Place | None:
        return await self._run(calls.place(turn))

    async def cancel(self, turns: Sequence[str], *, reason: str = "cancelled") -> list[str]:
        return await self._run(calls.cancel(turns, reason=reason))

    async def known(self, turns: Sequence[str]) -> list[bool]:
        answers = await self._link.ask_all([("EXISTS", f"{self._prefix}turn:{turn}") for turn in turns])
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return [bool(answer) for answer in answers]

    async def follow(self, task: str, inbox: str) -> int:
        return await self._run(calls.follow(task, inbox))

    async def unfollow(self, task: str, inbox: str) -> None:
        await self._link.ask("SREM", f"{self._prefix}follow:{task}", inbox)

    async def read_log(self, task: str, *, after: int = 0, count: int = 1000) -> list[Event]:
        found = await self._link.ask("XRANGE", keys.log(self.pool, task), f"({after}-0", "+", "COUNT", count)
        return entries.read_events(task, entries.pairs(found))

    async def read_raw(self, task: str, *, first: int) -> str:
        found = await self._link.ask("XRANGE", keys.log(self.pool, task), f"{first}-0", "+")
        return entries.read_raw(entries.pairs(found))

    async def note(self, task: str, kind: EventKind, data: str, *, once: str) -> int:
        return await self._run(calls.note(task, kind, data, once))

    async def end_task(self, task: str, *, turn: str, state: OutcomeState, error: TaskError | None = None) -> bool:
        return await self._run(calls.end_task(task, turn, state, error))

    async def claim(self, worker: str, slots: int, *, lease_s: float) -> list[ClaimedTurn]:
        return await self._run(calls.claim(worker, slots, lease_s=lease_s))

    async def wait_for_work(self, *, timeout_s: float) -> bool:
        return await self._blocking.ask("BLPOP", keys.bell(self.pool), timeout_s, blocks_s=timeout_s) is not None

    async def emit(self, worker: str, deltas: Sequence[Delta]) -> list[Stop]:
        return await self._run(calls.emit(worker, deltas))

    async def finish(self, worker: str, finishes: Sequence[Finish]) -> list[Stop]:
        return await self._run(calls.finish(worker, finishes))

    async def heartbeat(self, status: WorkerStatus, turns: Sequence[str], *, lease_s: float) -> list[Stop]:
        return await self._run(calls.heartbeat(status, turns, lease_s=lease_s))

    async def release(self, worker: str, turns: Sequence[str]) -> int:
        return await self._run(calls.release(worker, turns)) if turns else 0

    async def abandon(self, worker: str) -> int:
        return await self._run(calls.abandon(worker))

    async def leave(self, worker: str) -> None:
        await self._link.ask_all(
            [
                ("ZREM", f"{self._prefix}workers", worker),
                ("DEL", f"{self._prefix}worker:{worker}"),
            ]
        )

    async def dismiss(self, worker: str) -> int:
        return await self._run(calls.dismiss(worker))

    async def reap(self, *, max_attempts: int = 3, max_losses: int = 2, lease_s: float = 5.0) -> int:
        return await self._run(calls.reap(max_attempts=max_attempts, max_losses=max_losses, lease_s=lease_s))

    async def limit(self, running: Mapping[str, int]) -> int:
        return await self._run(calls.limit(running))

    async def signals(self) -> PoolSignals:
        return await self._run(calls.signals())

    async def read_records(self, *, count: int = 500, block_s: float = 0.0) -> list[Record]:
        stream = ("STREAMS", keys.record(self.pool), "0")
        if block_s > 0:
            block = ("BLOCK", max(1, round(block_s * 1000)))
            answer = await self._blocking.ask("XREAD", "COUNT", count, *block, *stream, blocks_s=block_s)
        else:
            answer = await self._link.ask("XREAD", "COUNT", count, *stream)
        return [entries.read_record(entry, fields) for entry, fields in entries.pairs(answer[0][1] if answer else ())]

    async def restart(self, tasks: Sequence[str]) -> int:
        return await self._run(calls.restart(tasks)) if tasks else 0

    async def acknowledge(self, records: Sequence[Record], *, keep_log_s: float = 3600.0) -> None:
        if records:
            await self._run(calls.acknowledge(records, keep_log_s=keep_log_s))
