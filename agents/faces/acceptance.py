"""Accepting tasks in groups: all that arrived while the last group was written are one commit and one pipelined enqueue.

Accepted means committed. What the tenant's budget refuses is never written. A task whose enqueue the queue refuses (a limit of
its tenant or key, the pool's bound, no capacity, a deadline that cannot be met) is withdrawn before anybody was told of it, and
its reservation given back; one whose process dies between commit and enqueue, or whose enqueue was not answered, is found by the
sweep.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import defaultdict
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from agents.faces.admission import Admission
from agents.faces.database import Database, Row
from agents.limits import Bill, seconds
from agents.problems import Problem, deadline_too_early, no_capacity, pool_busy, too_many_waiting, unavailable
from agents.waits import range_of
from taskqueue.buckets import Reading
from taskqueue.failures import QueueRefused, QueueUnavailable
from taskqueue.inbox import EventHub
from taskqueue.messages import Enqueued, Submission
from taskqueue.outlook import Place, expected_wait

GROUP_MAX = 256
CLOSED_S = 1.0
"""After a refusal this process refuses that tenant's (or that key's) tasks for the pool itself, so that a flood costs no writes."""
RETRY_MAX_S = 60
"""How the line moved is a guess of how it will move; nobody is sent away for longer on it."""


class Candidate(NamedTuple):
    """A task that asks to be accepted: its row, its turn as the queue takes it, and what it takes of the tenant's budget."""

    row: Row
    pool: str
    submission: Submission
    bill: Bill


class Accepted(NamedTuple):
    """`created_at` is None where an equal request (by idempotency key) had been accepted before; that costs nothing.

    `place`: where it stands in the queue, if the queue has answered.
    """

    created_at: datetime | None
    readings: tuple[Reading, ...] = ()
    place: Place | None = None


class Acceptance:
    """One writer per process."""

    def __init__(self, db: Database, hub: EventHub, admission: Admission) -> None:
        self._db, self._hub, self._admission = db, hub, admission
        self._pending: list[tuple[Candidate, asyncio.Future[Accepted]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._closed: dict[tuple[str, str], tuple[float, Enqueued]] = {}

    async def accept(self, candidate: Candidate) -> Accepted:
        """Wait until the task is committed and enqueued; raises the `Problem` that refuses it."""
        for owner in (candidate.submission.tenant, candidate.submission.key):
            if (closed := self._closed.get((candidate.pool, owner))) is not None:
                if closed[0] > time.monotonic():
                    raise _no_place(candidate, closed[1])
                del self._closed[candidate.pool, owner]
        readings = await self._admission.reserve(candidate.bill)
        return (await self._accept(candidate))._replace(readings=readings)

    async def _accept(self, candidate: Candidate) -> Accepted:
        """What becomes of the reservation is the writer's business: it also knows it when the caller has gone."""
        answer: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        self._pending.append((candidate, answer))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write(), name="group commit")
        return await answer

    async def _write(self) -> None:
        while self._pending:
            group, self._pending = self._pending[:GROUP_MAX], self._pending[GROUP_MAX:]
            try:
                await self._commit(group)
            except (psycopg.DataError, psycopg.IntegrityError) as error:
                await self._one_by_one(group, error)
            except Exception as error:
                await self._refuse(group, error)

    async def _one_by_one(self, group: list[tuple[Candidate, asyncio.Future[Accepted]]], error: Exception) -> None:
        """One row that Postgres does not take must not refuse its neighbours."""
        if len(group) == 1:
            await self._refuse(
                group, Problem(400, "not_storable", f"The task cannot be stored: {str(error).splitlines()[0]}")
            )
            return
        for alone in group:
            try:
                await self._commit([alone])
            except (psycopg.DataError, psycopg.IntegrityError) as single:
                await self._one_by_one([alone], single)
            except Exception as failure:
                await self._refuse([alone], failure)

    async def _commit(self, group: list[tuple[Candidate, asyncio.Future[Accepted]]]) -> None:
        await self._hub.reach()  # a queue that is away refuses before anything is written
        conversations = {c.row["conversation"] for c, _ in group if c.row["conversation"] is not None}
        created = await self._db.accept([candidate.row for candidate, _ in group], sorted(conversations))
        earlier = [(candidate, answer) for candidate, answer in group if candidate.row["id"] not in created]
        await self._admission.refund(candidate.bill for candidate, _ in earlier)
        for _, answer in earlier:
            _answer(answer, Accepted(None))
        by_pool: defaultdict[str, list[tuple[Candidate, asyncio.Future[Accepted]]]] = defaultdict(list)
        for candidate, answer in group:
            if candidate.row["id"] in created:
                by_pool[candidate.pool].append((candidate, answer))
        for pool, entries in by_pool.items():
            await self._enqueue(pool, entries, created)

    async def _enqueue(
        self,
        pool: str,
        entries: list[tuple[Candidate, asyncio.Future[Accepted]]],
        created: dict[uuid.UUID, Any],
    ) -> None:
        try:
            verdicts = await self._hub.queue(pool).enqueue([candidate.submission for candidate, _ in entries])
        except QueueRefused:
            await self._db.withdraw([candidate.row["id"] for candidate, _ in entries])
            await self._refuse(entries, unavailable("The queue"))
            return
        except QueueUnavailable:
            # Whether Redis took them in is not known, and an equal request may have been answered meanwhile: a task that is
            # committed is accepted. The sweep enqueues what Redis does not know.
            for candidate, answer in entries:
                _answer(answer, Accepted(created[candidate.row["id"]]))
            return
        refused = []
        for (candidate, answer), enqueued in zip(entries, verdicts, strict=True):
            if enqueued.verdict in {"accepted", "known"}:
                _answer(answer, Accepted(created[candidate.row["id"]], place=enqueued.place))
            else:
                refused.append((candidate, answer, enqueued))
        if refused:
            await self._db.withdraw([candidate.row["id"] for candidate, _, _ in refused])
            for candidate, answer, enqueued in refused:
                asks = candidate.submission
                owner = asks.key if enqueued.verdict == "key_full" else asks.tenant
                if enqueued.verdict != "too_late":  # another one may have more time
                    self._closed[pool, owner] = (time.monotonic() + CLOSED_S, enqueued)
                await self._refuse([(candidate, answer)], _no_place(candidate, enqueued))

    async def _refuse(self, group: list[tuple[Candidate, asyncio.Future[Accepted]]], error: Exception) -> None:
        """Refuse those that have no answer yet; one whose caller has gone gets its reservation back all the same."""
        unanswered = [(candidate, answer) for candidate, answer in group if not answer.done() or answer.cancelled()]
        await self._admission.refund(candidate.bill for candidate, _ in unanswered)
        for _, answer in unanswered:
            if not answer.done():
                answer.set_exception(error)


def _no_place(candidate: Candidate, refused: Enqueued) -> Problem:
    if refused.verdict == "no_capacity":
        return no_capacity(refused.reason, seconds(refused.wait_ms))
    if refused.verdict == "too_late":
        wait = expected_wait(refused.place) if refused.place else None
        return deadline_too_early(range_of(wait) if wait else None)
    retry_after_s = min(RETRY_MAX_S, seconds(refused.wait_ms))
    if refused.verdict == "busy":
        return pool_busy(retry_after_s)
    if refused.verdict == "key_full":
        return too_many_waiting(candidate.submission.key_max_waiting, retry_after_s, owner="this API key")
    return too_many_waiting(candidate.submission.max_waiting, retry_after_s)


def _answer(answer: asyncio.Future[Accepted], accepted: Accepted) -> None:
    if not answer.done():
        answer.set_result(accepted)
