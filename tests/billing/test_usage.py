"""Usage by the hour is what raw rows say: over killed recorders, batches that come twice, and tasks of several turns."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.utils import timezone

from agents.models import Task, Turn
from agents.recorder import record_once
from agents.submissions import body_of, submission
from billing.models import ServedHour, UsageHour
from taskqueue.async_client import AsyncQueue
from taskqueue.messages import Finish, Submission, Usage
from tenants.services import issue_key
from tests.billing.conftest import counted, price, recounted
from tests.faces.conftest import HandWorker
from tests.scene import Party, Scene

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def queued(task: Task) -> Submission:
    turn = Turn.objects.for_tenant(task.tenant_id).get(task=task)
    return submission(
        turn=str(turn.pk),
        task=str(task.pk),
        tenant=str(task.tenant_id),
        body=body_of(task.input, task.params),
        weight=1.0,
    )


def tasks_of(scene: Scene, count: int) -> list[Submission]:
    """Of both tenants, and of one's two keys, as they lie in Postgres."""
    keys = [None, *(issue_key(tenant=scene.ann.tenant, name=name).key for name in "ab")]
    made = [scene.ann.task(api_key=keys[at % 3]) if at % 2 else scene.bob.task() for at in range(count)]
    return [queued(task) for task in made]


def ended(turn: Any, dice: random.Random) -> Finish:
    """Any end that a worker may tell of."""
    prompt = dice.randrange(1, 500)
    return Finish(
        turn=turn.turn,
        task=turn.task,
        attempt=turn.attempt,
        seq=turn.seq + 1,
        state=dice.choice(["succeeded", "succeeded", "failed", "cancelled", "expired"]),
        usage=Usage(prompt, dice.randrange(300), dice.randrange(prompt + 1)),
        text="x",
    )


async def test_killed_recorders_and_repeats_count_everything_once(
    live_scene: Scene,
    worker: HandWorker,
    postgres: psycopg.AsyncConnection,
    start: Callable[..., subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await sync_to_async(price)(live_scene.pool, LONG_AGO, input="1.37", cached_input="0.2", output="7.000001")
    dice, queue, count = random.Random(5), worker.queue, 120
    await queue.enqueue(await sync_to_async(tasks_of)(live_scene, count))

    async def finish(some: int) -> None:
        for turn in await queue.claim("w", some, lease_s=60):
            await queue.finish("w", [ended(turn, dice)])

    async def forget(*_: object, **__: object) -> None:
        """A recorder that dies between its commit and the acknowledgement."""

    async def recorded(least: int) -> None:
        deadline = asyncio.get_running_loop().time() + 60
        while await Task.objects.across_tenants().filter(finished_at__isnull=False).acount() < least:
            assert asyncio.get_running_loop().time() < deadline, "nothing is recorded"
            await asyncio.sleep(0.02)

    await finish(40)
    with monkeypatch.context() as patch:
        patch.setattr(queue, "acknowledge", forget)
        await record_once(postgres, queue)
    await recorded(40)
    for done in (80, 120):  # both recorders read what the one above has left, too
        both = [start("record"), start("record")]
        finishing = asyncio.create_task(finish(40))
        await recorded(done - 35)
        both[0].send_signal(signal.SIGKILL)
        await finishing
        await recorded(done)
        both[1].send_signal(signal.SIGKILL)
    while await record_once(postgres, queue):
        pass
    rolled = await sync_to_async(counted)()
    assert rolled == await sync_to_async(recounted)()
    assert sum(counts["requests"] for counts in rolled.values()) == count
    assert len({(tenant, key) for tenant, key, *_ in rolled}) == 4
    served = [row async for row in ServedHour.objects.across_tenants()]
    assert {row.worker for row in served} == {"w"}
    prompts = sum(counts["prompt_tokens"] for counts in rolled.values())
    assert abs(sum(row.prompt_tokens for row in served) - prompts) < Decimal("0.001")


@pytest.mark.django_db
def test_a_task_of_several_turns_is_one_request_and_all_of_their_tokens(scene: Scene) -> None:
    task = scene.ann.task()
    first = Turn.objects.for_tenant(scene.ann.tenant).get(task=task)
    at = timezone.now()

    def ends(turn: Turn, tokens: int, when: datetime) -> None:
        rows = Turn.objects.for_tenant(scene.ann.tenant).filter(pk=turn.pk)
        rows.update(state="succeeded", finished_at=when, prompt_tokens=tokens, completion_tokens=1, worker="w")

    ends(first, 10, at)
    assert recounted() == counted()
    second = Turn.objects.create(tenant=scene.ann.tenant, task=task, number=2, queued_at=at)
    ends(second, 20, at + timedelta(hours=1))
    Task.objects.for_tenant(scene.ann.tenant).filter(pk=task.pk).update(
        state="succeeded", finished_at=at + timedelta(hours=1)
    )
    Turn.objects.for_tenant(scene.ann.tenant).filter(pk=second.pk).update(attempts=2)  # no end: it had its own
    assert recounted() == counted()
    assert [(row.turns, row.requests, row.prompt_tokens) for row in UsageHour.objects.for_tenant(scene.ann.tenant)] == [
        (1, 1, 20),
        (1, 0, 10),
    ]


@pytest.mark.django_db
def test_what_is_rolled_back_is_not_counted_and_what_ends_otherwise_is(scene: Scene) -> None:
    from agents.faces.database import CANCEL_UNKNOWN

    task = scene.ann.task()
    with transaction.atomic():
        Task.objects.for_tenant(scene.ann.tenant).update(state="failed", finished_at=timezone.now())
        assert counted()
        transaction.set_rollback(True)
    assert counted() == {}
    with connection.cursor() as cursor:
        cursor.execute(CANCEL_UNKNOWN, [scene.ann.tenant.pk, task.pk, ["queued", "running", "waiting"]])
    assert counted() == recounted()
    (row,) = UsageHour.objects.for_tenant(scene.ann.tenant)
    assert (row.requests, row.cancelled, row.turns, row.cost) == (1, 1, 1, 0)


@pytest.mark.django_db
def test_a_row_that_is_inserted_as_ended_counts(scene: Scene) -> None:
    scene.ann.task(state="succeeded", finished_at=timezone.now())
    assert counted() == recounted()
    assert sum(counts["requests"] for counts in counted().values()) == 1


def served_by_hour(party: Party) -> list[tuple[int, Decimal, Decimal]]:
    rows = ServedHour.objects.for_tenant(party.tenant).order_by("hour")
    return [(row.hour.hour, row.prompt_tokens, row.completion_tokens) for row in rows]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("began", "ended", "expected"),
    [
        ("09:10", "09:50", [(9, 60, 120)]),
        ("09:50", "10:10", [(9, 30, 60), (10, 30, 60)]),
        ("09:30", "11:30", [(9, 15, 30), (10, 30, 60), (11, 15, 30)]),
        ("09:30", "10:00", [(9, 60, 120)]),  # nothing of it lies in the hour that begins
        ("09:30", "09:30", [(9, 60, 120)]),
        (None, "09:30", [(9, 60, 120)]),
    ],
)
def test_what_a_worker_served_is_spread_over_its_hours(
    scene: Scene, began: str | None, ended: str, expected: list[tuple[int, int, int]]
) -> None:
    def at(clock: str) -> datetime:
        return datetime.fromisoformat(f"2026-03-02T{clock}:00+00:00")

    scene.ann.task()
    Turn.objects.for_tenant(scene.ann.tenant).update(
        state="succeeded", claimed_at=at(began) if began else None, finished_at=at(ended), worker="w",
        prompt_tokens=60, completion_tokens=120,
    )  # fmt: skip
    assert served_by_hour(scene.ann) == [(hour, Decimal(prompt), Decimal(made)) for hour, prompt, made in expected]


async def test_cached_tokens_come_from_the_engine_to_the_row(
    live_scene: Scene, worker: HandWorker, postgres: psycopg.AsyncConnection
) -> None:
    queue: AsyncQueue = worker.queue
    await queue.enqueue((await sync_to_async(tasks_of)(live_scene, 2))[:1])
    (turn,) = await worker.claim()
    end = Finish(turn=turn.turn, task=turn.task, attempt=1, seq=9, state="succeeded", usage=Usage(30, 2, 16), text="x")
    await queue.finish("hand", [end])
    await record_once(postgres, queue)
    row = await Turn.objects.across_tenants().select_related("task").aget(pk=turn.turn)
    assert (row.cached_tokens, row.task.cached_tokens) == (16, 16)
    assert '"cached_tokens":16' in (await queue.read_log(turn.task))[-1].data
