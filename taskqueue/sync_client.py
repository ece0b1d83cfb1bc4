"""The synchronous client of one pool's queue; see `taskqueue.ports` for what each call promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar, cast

import msgspec
from redis import Redis
from redis.exceptions import NoScriptError

from taskqueue import calls, entries, keys
from taskqueue.calls import Call
from taskqueue.connections import connect
from taskqueue.failures import translated
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
from taskqueue.outlook import OUTLOOK_S, Outlook, Pace, Place
from taskqueue.standing import Line, Standing

T = TypeVar("T")


class Queue:
    """One pool's queue over a shared connection pool. Give a URL (the client is then closed by `close`) or a client."""

    def __init__(self, redis: str | Redis, pool: str) -> None:
        self.pool = pool
        self._prefix = keys.prefix(pool)
        self._owned = isinstance(redis, str)
        self._redis: Redis = connect(redis) if isinstance(redis, str) else redis

    def close(self) -> None:
        """Close the connections that this client opened."""
        if self._owned:
            self._redis.close()

    def _run(self, call: Call[T]) -> T:
        with translated():
            try:
                answer = self._redis.evalsha(call.script.sha, 1, self._prefix, *call.args)
            except NoScriptError:
                answer = self._redis.eval(call.script.text, 1, self._prefix, *call.args)
        return call.parse(answer)

    def _run_all(self, batch: Sequence[Call[T]]) -> list[T]:
        """Several calls of one script in one round trip."""
        if len(batch) == 1:
            return [self._run(batch[0])]
        with translated():
            for _ in range(2):
                pipeline = self._redis.pipeline(transaction=False)
                for call in batch:
                    pipeline.evalsha(call.script.sha, 1, self._prefix, *call.args)
                answers = pipeline.execute(raise_on_error=False)
                if not any(isinstance(answer, NoScriptError) for answer in answers):
                    break
                self._redis.script_load(batch[0].script.text)
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        return [call.parse(answer) for call, answer in zip(batch, answers, strict=True)]

    def enqueue(self, submissions: Sequence[Submission]) -> list[Enqueued]:
        return self._run_all([calls.enqueue(submission) for submission in submissions]) if submissions else []

    def hold(self, tasks: Sequence[Held]) -> list[Enqueued]:
        return self._run_all([calls.hold(held) for held in tasks]) if tasks else []

    def place(self, turn: str) -> Place | None:
        return self._run(calls.place(turn))

    def cancel(self, turns: Sequence[str], *, reason: str = "cancelled") -> list[str]:
        return self._run(calls.cancel(turns, reason=reason))

    def known(self, turns: Sequence[str]) -> list[bool]:
        if not turns:
            return []
        with translated():
            pipeline = self._redis.pipeline(transaction=False)
            for turn in turns:
                pipeline.exists(f"{self._prefix}turn:{turn}")
            return [bool(answer) for answer in pipeline.execute()]

    def follow(self, task: str, inbox: str) -> int:
        return self._run(calls.follow(task, inbox))

    def unfollow(self, task: str, inbox: str) -> None:
        with translated():
            self._redis.srem(f"{self._prefix}follow:{task}", inbox)

    def read_log(self, task: str, *, after: int = 0, count: int = 1000) -> list[Event]:
        with translated():
            found = self._redis.xrange(keys.log(self.pool, task), f"({after}-0", "+", count=count)
        return entries.read_events(task, cast("list[tuple[bytes, dict[bytes, bytes]]]", found))

    def read_raw(self, task: str, *, first: int) -> str:
        with translated():
            found = self._redis.xrange(keys.log(self.pool, task), f"{first}-0", "+")
        return entries.read_raw(cast("list[tuple[bytes, dict[bytes, bytes]]]", found))

    def note(self, task: str, kind: EventKind, data: str, *, once: str) -> int:
        return self._run(calls.note(task, kind, data, once))

    def end_task(self, task: str, *, turn: str, state: OutcomeState, error: TaskError | None = None) -> bool:
        return self._run(calls.end_task(task, turn, state, error))

    def claim(self, worker: str, slots: int, *, lease_s: float) -> list[ClaimedTurn]:
        return self._run(calls.claim(worker, slots, lease_s=lease_s))

    def wait_for_work(self, *, timeout_s: float) -> bool:
        with translated():
            return self._redis.blpop([keys.bell(self.pool)], timeout=timeout_s) is not None

    def emit(self, worker: str, deltas: Sequence[Delta]) -> list[Stop]:
        return self._run(calls.emit(worker, deltas))

    def finish(self, worker: str, finishes: Sequence[Finish]) -> list[Stop]:
        return self._run(calls.finish(worker, finishes))

    def heartbeat(self, status: WorkerStatus, turns: Sequence[str], *, lease_s: float) -> list[Stop]:
        return self._run(calls.heartbeat(status, turns, lease_s=lease_s))

    def release(self, worker: str, turns: Sequence[str]) -> int:
        return self._run(calls.release(worker, turns)) if turns else 0

    def abandon(self, worker: str) -> int:
        return self._run(calls.abandon(worker))

    def leave(self, worker: str) -> None:
        with translated():
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.zrem(f"{self._prefix}workers", worker)
            pipeline.delete(f"{self._prefix}worker:{worker}")
            pipeline.execute()

    def dismiss(self, worker: str) -> int:
        return self._run(calls.dismiss(worker))

    def reap(self, *, max_attempts: int = 3, max_losses: int = 2, lease_s: float = 5.0) -> int:
        return self._run(calls.reap(max_attempts=max_attempts, max_losses=max_losses, lease_s=lease_s))

    def limit(self, running: Mapping[str, int]) -> int:
        return self._run(calls.limit(running))

    def signals(self) -> PoolSignals:
        return self._run(calls.signals())

    def read_records(self, *, count: int = 500, block_s: float = 0.0) -> list[Record]:
        block = max(1, round(block_s * 1000)) if block_s > 0 else None
        with translated():
            answer = self._redis.xread({keys.record(self.pool): "0"}, count=count, block=block)
        return entries.read_records(answer)

    def acknowledge(self, records: Sequence[Record], *, keep_log_s: float = 3600.0) -> None:
        if records:
            self._run(calls.acknowledge(records, keep_log_s=keep_log_s))


def foretell(redis: Redis, outlooks: Mapping[str, Outlook], *, hold_s: float = OUTLOOK_S) -> None:
    """Publish pools' outlooks by their slugs, all in one round trip; one that is not renewed within `hold_s` is gone."""
    with translated():
        pipeline = redis.pipeline(transaction=False)
        for pool, outlook in outlooks.items():
            pipeline.set(keys.outlook(pool), msgspec.json.encode(outlook), px=round(hold_s * 1000))
        pipeline.execute()


IN_LINE, LATELY = 200, 100
"""Tenants whose lines are looked at: those that are served next, and those of which most came in lately."""


def standing(redis: Redis, pool: str, *, most: int) -> Standing:
    """How the pool's line stands, with the `most` tenants of the longest lines among those that are looked at: two round trips."""
    prefix = keys.prefix(pool)
    with translated():
        first = redis.pipeline(transaction=False)
        first.zrange(f"{prefix}active", 0, IN_LINE - 1)
        first.hgetall(f"{prefix}flow")
        first.hmget(f"{prefix}pace", "turns", "mean", "variance")
        first.get(keys.outlook(pool))
        active, flow, pace, foretold = first.execute()
        flow.pop(b"", None)  # of all
        lately = sorted(flow, key=lambda tenant: -float(flow[tenant].split()[0]))[:LATELY]
        tenants = list(dict.fromkeys(one.decode() for one in (*active, *lately)))
        second = redis.pipeline(transaction=False)
        for tenant in tenants:
            second.zcard(f"{prefix}wait:{tenant}")
            second.zcard(f"{prefix}apart:{tenant}")
            second.scard(f"{prefix}running:{tenant}")
        counts = second.execute()
    lines = [
        Line(tenant, waiting + apart, running)
        for tenant, waiting, apart, running in zip(tenants, counts[::3], counts[1::3], counts[2::3], strict=True)
        if waiting + apart + running
    ]
    turns, mean, variance = (float(one or 0) for one in pace)
    return Standing(
        lines=tuple(sorted(lines, key=lambda one: (-one.waiting, -one.running, one.tenant))[:most]),
        pace=Pace(int(turns), mean, variance),
        outlook=None if foretold is None else msgspec.json.decode(foretold, type=Outlook),
    )
