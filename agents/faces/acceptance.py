"""Accepting tasks in groups: all that arrived while the last group was written are one commit and one pipelined enqueue.

Accepted means committed. What the tenant's budget refuses is never written. A task whose enqueue the queue refuses (a limit of
its tenant or key, the pool's bound, no capacity, a deadline that cannot be met) is withdrawn before anybody was told of it, and
its reservation given back; so are the tasks that were to be accepted together with it. One whose process dies between commit and
enqueue, or whose enqueue was not answered, is found by the sweep.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

import psycopg

from agents.branches import Busy
from agents.faces.admission import Admission
from agents.faces.database import Committed, Database, Row
from agents.faces.placing import Waiting
from agents.limits import Bill, joint, seconds
from agents.problems import (
    Problem,
    conversation_busy,
    deadline_too_early,
    no_capacity,
    pool_busy,
    too_many_waiting,
    unavailable,
)
from agents.waits import range_of
from taskqueue.buckets import Reading
from taskqueue.failures import QueueRefused, QueueUnavailable
from taskqueue.inbox import EventHub
from taskqueue.messages import Enqueued, Held, Submission
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

    `place`: where it stands in the queue, if the queue has answered. `waits`: for its conversation.
    """

    created_at: datetime | None
    readings: tuple[Reading, ...] = ()
    place: Place | None = None
    waits: bool = False


class ConversationMoved(Exception):
    """The conversation went on since its past was read: read it anew, and ask again."""


class _Asked(NamedTuple):
    """Candidates that are accepted together or not at all, their bill, and who waits for the answer."""

    candidates: tuple[Candidate, ...]
    bill: Bill
    answer: asyncio.Future[tuple[Accepted, ...]]

    @property
    def ids(self) -> list[uuid.UUID]:
        return [candidate.row["id"] for candidate in self.candidates]


class Acceptance:
    """One writer per process."""

    def __init__(self, db: Database, hub: EventHub, admission: Admission) -> None:
        self._db, self._hub, self._admission = db, hub, admission
        self._pending: list[_Asked] = []
        self._writer: asyncio.Task[None] | None = None
        self._closed: dict[tuple[str, str], tuple[float, Enqueued]] = {}

    async def accept(self, candidate: Candidate) -> Accepted:
        """Wait until the task is committed and enqueued; raises the `Problem` that refuses it."""
        (accepted,) = await self.accept_together([candidate])
        return accepted

    async def accept_together(self, candidates: Sequence[Candidate]) -> tuple[Accepted, ...]:
        """As `accept`, for tasks of one tenant, key and pool: all of them are accepted, or none."""
        first = candidates[0]
        for owner in (first.submission.tenant, first.submission.key):
            if (closed := self._closed.get((first.pool, owner))) is not None:
                if closed[0] > time.monotonic():
                    raise _no_place(first, closed[1])
                del self._closed[first.pool, owner]
        costs = joint([candidate.bill for candidate in candidates])
        readings = await self._admission.reserve(costs)
        accepted = await self._accept(tuple(candidates), costs)
        return tuple(one._replace(readings=readings) for one in accepted)

    async def _accept(self, candidates: tuple[Candidate, ...], costs: Bill) -> tuple[Accepted, ...]:
        """What becomes of the reservation is the writer's business: it also knows it when the caller has gone."""
        answer: asyncio.Future[tuple[Accepted, ...]] = asyncio.get_running_loop().create_future()
        self._pending.append(_Asked(candidates, costs, answer))
        if self._writer is None or self._writer.done():
            # It writes for all: what it logs is not about the one who came first.
            self._writer = asyncio.create_task(self._write(), name="group commit", context=contextvars.Context())
        return await answer

    async def _write(self) -> None:
        while self._pending:
            group = self._next_group()
            try:
                await self._commit(group)
            except (psycopg.DataError, psycopg.IntegrityError) as error:
                await self._one_by_one(group, error)
            except Exception as error:
                await self._refuse(group, error)

    def _next_group(self) -> list[_Asked]:
        """Those that came first: `GROUP_MAX` tasks, or a few more, since what is accepted together stays together."""
        group: list[_Asked] = []
        rows = 0
        while rows < GROUP_MAX and len(group) < len(self._pending):
            group.append(self._pending[len(group)])
            rows += len(group[-1].candidates)
        del self._pending[: len(group)]
        return group

    async def _one_by_one(self, group: list[_Asked], error: Exception) -> None:
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

    async def _commit(self, group: list[_Asked]) -> None:
        await self._hub.reach()  # a queue that is away refuses before anything is written
        rows = [candidate.row for asked in group for candidate in asked.candidates]
        conversations = {row["conversation"] for row in rows if row["conversation"] is not None}
        committed = await self._db.accept(rows, sorted(conversations))
        group = await self._without_refused(group, committed)
        earlier = [asked for asked in group if not committed.created.keys() >= set(asked.ids)]
        # Where some of a set were met and some not, its key was used for another set: the look at the earlier ones will say so.
        halves = [task for asked in earlier for task in asked.ids if task in committed.created]
        if halves:
            await self._db.withdraw(halves)
        await self._admission.refund(asked.bill for asked in earlier)
        for asked in earlier:
            _answer(asked, (Accepted(None),) * len(asked.candidates))
        by_pool: defaultdict[str, list[_Asked]] = defaultdict(list)
        for asked in group:
            if committed.created.keys() >= set(asked.ids):
                by_pool[asked.candidates[0].pool].append(asked)
        for pool, entries in by_pool.items():
            await self._enqueue(pool, entries, committed)

    async def _without_refused(self, group: list[_Asked], committed: Committed) -> list[_Asked]:
        """Those whose conversations have a place for them; the others are told why not."""
        if not committed.refused:
            return group
        left = []
        for asked in group:
            why = next((committed.refused[task] for task in asked.ids if task in committed.refused), None)
            if why is None:
                left.append(asked)
                continue
            if others := [task for task in asked.ids if task in committed.created]:
                await self._db.withdraw(others)
            await self._refuse([asked], conversation_busy(why.task) if isinstance(why, Busy) else ConversationMoved())
        return left

    async def _enqueue(self, pool: str, entries: list[_Asked], committed: Committed) -> None:
        queue = self._hub.queue(pool)
        created, waiting = committed.created, committed.waiting
        asking = [one.submission for asked in entries for one in asked.candidates]
        later = [(one, waiting[task]) for one in asking if (task := uuid.UUID(one.task)) in waiting] if waiting else []
        now = [one for one in asking if uuid.UUID(one.task) not in waiting] if later else asking
        try:
            verdicts = dict(zip([one.turn for one in now], await queue.enqueue(now), strict=True))
            held = await queue.hold([_held(one, how) for one, how in later])
            verdicts |= zip([one.turn for one, _ in later], held, strict=True)
        except QueueRefused:
            await self._db.withdraw([task for asked in entries for task in asked.ids])
            await self._refuse(entries, unavailable("The queue"))
            with suppress(QueueUnavailable):  # those that it took before it refused others
                await queue.cancel([one.turn for one in now])
            return
        except QueueUnavailable:
            # Whether Redis took them in is not known, and an equal request may have been answered meanwhile: a task that is
            # committed is accepted. The sweep enqueues what Redis does not know.
            for asked in entries:
                _answer(asked, tuple(Accepted(created[task], waits=task in waiting) for task in asked.ids))
            return
        refused: list[tuple[_Asked, Enqueued]] = []
        half_in: list[str] = []
        for asked in entries:
            answers = [verdicts[candidate.submission.turn] for candidate in asked.candidates]
            is_in = [answer.verdict in {"accepted", "known"} for answer in answers]
            if all(is_in):
                places = zip(asked.ids, answers, strict=True)
                _answer(
                    asked,
                    tuple(
                        Accepted(created[task], place=answer.place, waits=task in waiting) for task, answer in places
                    ),
                )
            else:
                refused.append((asked, answers[is_in.index(False)]))
                half_in += [one.submission.turn for one, yes in zip(asked.candidates, is_in, strict=True) if yes]
        if refused:
            await self._db.withdraw([task for asked, _ in refused for task in asked.ids])
            for asked, enqueued in refused:
                asks = asked.candidates[0].submission
                owner = asks.key if enqueued.verdict == "key_full" else asks.tenant
                if enqueued.verdict != "too_late" and not waiting.keys() & set(
                    asked.ids
                ):  # another one may have more time
                    self._closed[pool, owner] = (time.monotonic() + CLOSED_S, enqueued)
                await self._refuse([asked], _no_place(asked.candidates[0], enqueued))
        if half_in:  # only now: what is recorded of a task that is withdrawn changes nothing
            with suppress(QueueUnavailable):
                await queue.cancel(half_in)

    async def _refuse(self, group: list[_Asked], error: Exception) -> None:
        """Refuse those that have no answer yet; one whose caller has gone gets its reservation back all the same."""
        unanswered = [asked for asked in group if not asked.answer.done() or asked.answer.cancelled()]
        await self._admission.refund(asked.bill for asked in unanswered)
        for asked in unanswered:
            if not asked.answer.done():
                asked.answer.set_exception(error)


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


def _held(asks: Submission, waiting: Waiting) -> Held:
    """What takes another one's place adds nothing to what waits, and is refused by no limit of it."""
    return Held(
        task=asks.task,
        tenant=asks.tenant,
        key=asks.key,
        before=waiting.of_tenant - 1,
        before_of_key=waiting.of_key - 1,
        max_waiting=0 if waiting.replaces else asks.max_waiting,
        key_max_waiting=0 if waiting.replaces else asks.key_max_waiting,
        inbox=asks.inbox,
    )


def _answer(asked: _Asked, accepted: tuple[Accepted, ...]) -> None:
    if not asked.answer.done():
        asked.answer.set_result(accepted)
