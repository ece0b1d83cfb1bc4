"""What becomes of a commit whose enqueue goes wrong: the database and the queue are stand-ins here."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from agents.faces.acceptance import Acceptance, Candidate
from agents.faces.admission import Admission
from agents.faces.database import Committed, Database
from agents.limits import Bill, Month
from agents.problems import Problem
from taskqueue.async_budget import AsyncBudget
from taskqueue.failures import QueueRefused, QueueUnavailable
from taskqueue.inbox import EventHub
from taskqueue.messages import Submission, TurnBody

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Rows:
    """Commits everything."""

    def __init__(self) -> None:
        self.kept: set[uuid.UUID] = set()

    async def accept(self, rows: list[Any], conversations: list[uuid.UUID]) -> Committed:
        self.kept |= {row["id"] for row in rows}
        return Committed({row["id"]: NOW for row in rows}, {}, {})

    async def withdraw(self, tasks: list[uuid.UUID]) -> None:
        self.kept -= set(tasks)


class Broken:
    """A hub and a queue in one, that fail as they are told."""

    def __init__(self, *, reach: Exception | None = None, enqueue: Exception | None = None) -> None:
        self._reach, self._enqueue = reach, enqueue

    async def reach(self) -> None:
        if self._reach:
            raise self._reach

    def queue(self, pool: str) -> Broken:
        return self

    async def enqueue(self, submissions: list[Submission]) -> list[Any]:
        assert self._enqueue
        raise self._enqueue


def candidate() -> Candidate:
    task = uuid.uuid4()
    submission = Submission(turn="u", task=str(task), tenant="t", body=TurnBody())
    unlimited = Bill(uuid.uuid4(), None, Month.of(NOW), ())
    return Candidate({"id": task, "conversation": None}, "pool", submission, unlimited)


async def accept(rows: Rows, broken: Broken) -> Any:
    db, hub = cast("Database", rows), cast("EventHub", broken)
    return await Acceptance(db, hub, Admission(db, cast("AsyncBudget", None))).accept(candidate())


async def test_what_redis_may_have_taken_in_stays_accepted() -> None:
    rows = Rows()
    accepted = await accept(rows, Broken(enqueue=QueueUnavailable("the connection was lost")))
    assert (accepted.created_at, len(rows.kept)) == (NOW, 1)


async def test_what_redis_refused_is_withdrawn() -> None:
    rows = Rows()
    with pytest.raises(Problem) as refused:
        await accept(rows, Broken(enqueue=QueueRefused("OOM")))
    assert (refused.value.status, rows.kept) == (503, set())


async def test_a_redis_that_is_away_refuses_before_anything_is_written() -> None:
    rows = Rows()
    with pytest.raises(QueueUnavailable):
        await accept(rows, Broken(reach=QueueUnavailable("no connection")))
    assert not rows.kept
