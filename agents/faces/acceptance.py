"""Accepting tasks in groups: all that arrived while the last group was written are one commit and one pipelined enqueue.

Accepted means committed. A task whose enqueue the queue refuses (the tenant's limit) is withdrawn before anybody was told of it;
one whose process dies between commit and enqueue, or whose enqueue was not answered, is found by the sweep.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import defaultdict
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from agents.faces.database import Database, Row
from agents.problems import Problem, too_many_waiting, unavailable
from taskqueue.failures import QueueRefused, QueueUnavailable
from taskqueue.inbox import EventHub
from taskqueue.messages import Submission

GROUP_MAX = 256
CLOSED_S = 1.0
"""After a refusal this process refuses that tenant's tasks for the pool itself, so that a flood costs no writes."""


class Candidate(NamedTuple):
    """A task that asks to be accepted: its row, and its turn as the queue takes it."""

    row: Row
    pool: str
    submission: Submission


class Accepted(NamedTuple):
    """`created_at` is None where an equal request (by idempotency key) had been accepted before."""

    created_at: datetime | None


class Acceptance:
    """One writer per process."""

    def __init__(self, db: Database, hub: EventHub) -> None:
        self._db, self._hub = db, hub
        self._pending: list[tuple[Candidate, asyncio.Future[Accepted]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._closed_until: dict[tuple[str, str], float] = {}

    async def accept(self, candidate: Candidate) -> Accepted:
        """Wait until the task is committed and enqueued; raises the `Problem` that refuses it."""
        if self._closed_until.get((candidate.pool, candidate.submission.tenant), 0.0) > time.monotonic():
            raise too_many_waiting(candidate.submission.max_waiting)
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
                _refuse(group, error)

    async def _one_by_one(self, group: list[tuple[Candidate, asyncio.Future[Accepted]]], error: Exception) -> None:
        """One row that Postgres does not take must not refuse its neighbours."""
        if len(group) == 1:
            _refuse(group, Problem(400, "not_storable", f"The task cannot be stored: {str(error).splitlines()[0]}"))
            return
        for alone in group:
            try:
                await self._commit([alone])
            except (psycopg.DataError, psycopg.IntegrityError) as single:
                await self._one_by_one([alone], single)
            except Exception as failure:
                _refuse([alone], failure)

    async def _commit(self, group: list[tuple[Candidate, asyncio.Future[Accepted]]]) -> None:
        await self._hub.reach()  # a queue that is away refuses before anything is written
        conversations = {c.row["conversation"] for c, _ in group if c.row["conversation"] is not None}
        created = await self._db.accept([candidate.row for candidate, _ in group], sorted(conversations))
        by_pool: defaultdict[str, list[tuple[Candidate, asyncio.Future[Accepted]]]] = defaultdict(list)
        for candidate, answer in group:
            if candidate.row["id"] in created:
                by_pool[candidate.pool].append((candidate, answer))
            else:
                _answer(answer, Accepted(None))
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
            _refuse(entries, unavailable("The queue"))
            return
        except QueueUnavailable:
            # Whether Redis took them in is not known, and an equal request may have been answered meanwhile: a task that is
            # committed is accepted. The sweep enqueues what Redis does not know.
            for candidate, answer in entries:
                _answer(answer, Accepted(created[candidate.row["id"]]))
            return
        full = []
        for (candidate, answer), enqueued in zip(entries, verdicts, strict=True):
            if enqueued.verdict == "full":
                full.append((candidate, answer))
            else:
                _answer(answer, Accepted(created[candidate.row["id"]]))
        if full:
            await self._db.withdraw([candidate.row["id"] for candidate, _ in full])
            for candidate, answer in full:
                self._closed_until[pool, candidate.submission.tenant] = time.monotonic() + CLOSED_S
                _refuse([(candidate, answer)], too_many_waiting(candidate.submission.max_waiting))


def _answer(answer: asyncio.Future[Accepted], accepted: Accepted) -> None:
    if not answer.done():
        answer.set_result(accepted)


def _refuse(group: list[tuple[Candidate, asyncio.Future[Accepted]]], error: Exception) -> None:
    for _, answer in group:
        if not answer.done():
            answer.set_exception(error)
