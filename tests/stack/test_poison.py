"""A task that kills each worker which runs it, on real workers: it is set aside, the others go on, and staff runs it again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.test import Client
from django.urls import reverse

from agents.models import Task, Turn
from agents.recorder import record_once
from agents.submissions import body_of, submission
from gpu_worker.engines.simulated_text import whole_answer
from taskqueue.async_client import AsyncQueue
from tests.gpu_worker.conftest import PATIENCE_S, StartWorker, WorkerProcess, start_worker
from tests.scene import Party, Scene

__all__ = ["start_worker"]  # a fixture

WORKERS = 2
LEASE_S = 5.0


class Fleet:
    """Workers that are started again when they die, each under a new name, as the orchestrator would; it reaps, too."""

    def __init__(self, start: StartWorker, queue: AsyncQueue, connection: psycopg.AsyncConnection) -> None:
        self._start, self._queue, self._connection = start, queue, connection
        self._live: list[WorkerProcess] = []
        self._numbers = count()
        self.engine_args = ""
        self.exits: list[int] = []

    async def until_ended(self, tasks: list[Task]) -> dict[str, Task]:
        """Serve until these are recorded as ended."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for worker in [worker for worker in self._live if worker.process.poll() is not None]:
                    self._live.remove(worker)
                    self.exits.append(worker.wait())
                while len(self._live) < WORKERS:
                    self._live.append(self._worker())
                await self._queue.reap(lease_s=LEASE_S)
                await record_once(self._connection, self._queue, block_s=0.05)
                rows = await sync_to_async(rows_of)(tasks)
                if all(row.finished_at for row in rows.values()):
                    return rows

    def _worker(self) -> WorkerProcess:
        name = f"worker-{next(self._numbers)}"
        return self._start(name, pool=self._queue.pool, slots=8, lease_s=LEASE_S, engine_args=self.engine_args)

    def end(self) -> None:
        for worker in self._live:
            worker.end()
        self._live.clear()


def rows_of(tasks: list[Task]) -> dict[str, Task]:
    return {str(task.pk): task for task in Task.objects.all().across_tenants().filter(pk__in=[one.pk for one in tasks])}


def said(party: Party, words: str) -> Task:
    task = party.task()
    task.input = [{"role": "user", "content": words}]
    task.params = {"max_tokens": 40}
    task.save()
    return task


async def enqueue(queue: AsyncQueue, tasks: list[Task]) -> None:
    for task in tasks:
        turn = await Turn.objects.all().across_tenants().aget(task=task)
        body = body_of(task.input, task.params)
        ids = {"turn": str(turn.pk), "task": str(task.pk), "tenant": str(task.tenant_id)}
        await queue.enqueue([submission(**ids, body=body, weight=1.0)])


@pytest.fixture
def live(transactional_db: None) -> Scene:
    """Committed, so that the recorder's connection sees it."""
    return Scene.make()


@pytest.fixture
async def queue(live: Scene, redis_url: str) -> AsyncIterator[AsyncQueue]:
    queue = AsyncQueue(redis_url, live.pool.slug)
    yield queue
    await queue.aclose()


@pytest.fixture
async def fleet(database_url: str, queue: AsyncQueue, start_worker: StartWorker) -> AsyncIterator[Fleet]:
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        fleet = Fleet(start_worker, queue, connection)
        yield fleet
        fleet.end()


@pytest.mark.parametrize(("fault", "code"), [("killing_words", -9), ("breaking_words", 70)])
async def test_it_is_set_aside_the_others_go_on_and_it_runs_again_when_the_fault_is_mended(
    admin_client: Client, live: Scene, queue: AsyncQueue, fleet: Fleet, fault: str, code: int
) -> None:
    poison = await sync_to_async(said)(live.ann, "this will kill you")
    parties = (live.ann, live.bob)
    others = [await sync_to_async(said)(party, f"tell me of {nth}") for nth in range(4) for party in parties]
    fleet.engine_args = f'{{"step_base_s": 0.01, "{fault}": "kill you"}}'
    await enqueue(queue, [*others[:4], poison, *others[4:]])
    ended = await fleet.until_ended([poison, *others])
    for task in others:
        row = ended[str(task.pk)]
        assert (row.state, row.output) == ("succeeded", whole_answer(body_of(task.input, task.params)).text)
    letter = ended[str(poison.pk)]
    assert (letter.state, letter.error["code"]) == ("failed", "poison")
    assert set(fleet.exits) == {code}
    assert 2 <= len(fleet.exits) <= 4
    late = await sync_to_async(said)(live.bob, "and of the rest")
    await enqueue(queue, [late])
    assert (await fleet.until_ended([late]))[str(late.pk)].state == "succeeded"

    fleet.end()
    fleet.engine_args = '{"step_base_s": 0.01}'
    form = {"action": "run_again", "_selected_action": [str(letter.pk)]}
    page = await sync_to_async(admin_client.post)(reverse("admin:agents_task_changelist"), form, follow=True)
    assert "1 tasks are run again" in page.content.decode()
    again = await Task.objects.all().across_tenants().aget(rerun_of=letter)
    row = (await fleet.until_ended([again]))[str(again.pk)]
    assert (row.state, row.output) == ("succeeded", whole_answer(body_of(letter.input, letter.params)).text)
    assert (await sync_to_async(rows_of)([letter]))[str(letter.pk)].state == "failed"
