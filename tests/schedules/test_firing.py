"""Each nominal time makes one task, whoever is killed; what fails is told, and ends after a while."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from agents.faces.context import Context
from agents.models import Agent, Conversation, Task
from schedules.firing import BATCH, CLAIM, FAILURES_MAX, LEASE_S, Run, fire_schedules
from schedules.models import Firing, Schedule
from schedules.services import resume
from tenants.models import ApiKey, Tenant
from tenants.services import revoke_key
from tests.faces.conftest import PATIENCE_S, HandWorker
from tests.scene import Scene
from tests.schedules.conftest import minutes_ago, scheduled

pytestmark = pytest.mark.timeout(150)
make = sync_to_async(scheduled)
WAITING_NOTES = """
    SELECT pid FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND query LIKE '%INSERT INTO schedules_firing%' AND datname = current_database()
"""


async def until(check: Callable[[], Any]) -> None:
    """Wait for something in Postgres, with a bound."""
    async with asyncio.timeout(PATIENCE_S):
        while not await check():  # noqa: ASYNC110 - what is waited for happens in Postgres
            await asyncio.sleep(0.05)


@asynccontextmanager
async def firing(context: Context) -> AsyncIterator[None]:
    """The chore runs meanwhile."""
    stop = asyncio.Event()
    chore = asyncio.create_task(fire_schedules(context, stop))
    yield
    stop.set()
    await chore


async def fresh(schedule: Schedule) -> Schedule:
    return await Schedule.objects.for_tenant(schedule.tenant_id).aget(pk=schedule.pk)


async def states(schedule: Schedule) -> list[str]:
    rows = Firing.objects.for_tenant(schedule.tenant_id).filter(schedule=schedule).order_by("nominal_at")
    return [row.state async for row in rows]


def is_done(schedule: Schedule) -> Callable[[], Any]:
    async def check() -> bool:
        row = await fresh(schedule)
        return row.next_at is None or row.next_at > timezone.now()

    return check


async def test_a_firing_makes_a_task_as_a_request_would(
    live_scene: Scene, context: Context, worker: HandWorker
) -> None:
    ann, now = live_scene.ann, timezone.now()
    conversation = await sync_to_async(ann.conversation)()
    task = {"agent": "poet", "input": "Now.", "conversation": str(conversation.pk), "metadata": {"a": 1}, "priority": 7}
    schedule = await make(ann, next_at=minutes_ago(now, 30), catch_up="last")
    await Schedule.objects.for_tenant(ann.tenant).filter(pk=schedule.pk).aupdate(task=task)
    async with firing(context):
        (turn,) = await worker.claim()
        await until(is_done(schedule))
    made = await Task.objects.for_tenant(ann.tenant).aget(pk=turn.task)
    assert (made.metadata, made.priority, made.conversation_id) == ({"a": 1}, 7, conversation.pk)
    assert (made.api_key_id, made.revision_id) == (schedule.api_key_id, ann.agent.current_revision_id)
    row = await fresh(schedule)
    assert (row.last_task_id, row.last_error, row.lease_until, row.failures) == (made.pk, None, None, 0)
    rows = [one async for one in Firing.objects.for_tenant(ann.tenant).order_by("nominal_at")]
    assert [(one.state, one.task_id) for one in rows] == [("missed", None), ("fired", made.pk)]
    assert rows[0].count >= 28
    assert rows[1].nominal_at == row.last_at
    assert await Conversation.objects.for_tenant(ann.tenant).aget() == conversation


async def test_two_processes_fire_each_nominal_time_once(
    live_scene: Scene, start: Callable[..., Any], database_url: str
) -> None:
    ann = live_scene.ann
    await Tenant.objects.filter(pk=ann.tenant.pk).aupdate(max_waiting=10_000)
    begin = minutes_ago(timezone.now(), 4)
    schedules = [await make(ann, next_at=begin, name=f"s{n}", catch_up="all") for n in range(20)]
    for _ in range(2):
        start("effects")
    for schedule in schedules:
        await until(is_done(schedule))
    for schedule in schedules:
        rows = [
            one async for one in Firing.objects.for_tenant(ann.tenant).filter(schedule=schedule).order_by("nominal_at")
        ]
        assert [one.state for one in rows] == ["fired"] * len(rows)
        assert [one.nominal_at for one in rows] == [begin + timedelta(minutes=n) for n in range(len(rows))]
        assert len(rows) >= 5
    fired = [one.task_id async for one in Firing.objects.for_tenant(ann.tenant)]
    assert len(set(fired)) == len(fired) == await Task.objects.for_tenant(ann.tenant).acount()


async def test_killed_between_the_task_and_its_note(
    live_scene: Scene, start: Callable[..., Any], database_url: str
) -> None:
    ann = live_scene.ann
    nominal = minutes_ago(timezone.now(), 0)
    schedule = await make(ann, next_at=nominal, catch_up="all")
    async with await psycopg.AsyncConnection.connect(database_url) as holder:
        await holder.execute(
            "LOCK TABLE schedules_firing IN ACCESS EXCLUSIVE MODE"
        )  # the task passes, the note does not
        process = start("effects")
        await until(lambda: Task.objects.for_tenant(ann.tenant).aexists())
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as looking:

            async def held_up() -> bool:
                return await (await looking.execute(WAITING_NOTES)).fetchone() is not None

            await until(held_up)
            process.send_signal(signal.SIGSTOP)  # so that it does not try again before it is dead
            await looking.execute(f"SELECT pg_terminate_backend(pid) FROM ({WAITING_NOTES}) n")
            process.kill()
    assert await states(schedule) == []
    assert (await fresh(schedule)).next_at == nominal
    await (
        Schedule.objects.for_tenant(ann.tenant).filter(pk=schedule.pk).aupdate(lease_until=timezone.now())
    )  # it has lapsed
    start("effects")
    await until(is_done(schedule))
    first = await Firing.objects.for_tenant(ann.tenant).aget(nominal_at=nominal)
    assert first.state == "fired"
    key = f"schedule:{schedule.pk}:{nominal:%Y-%m-%dT%H:%M:%SZ}"
    assert (await Task.objects.for_tenant(ann.tenant).aget(idempotency_key=key)).pk == first.task_id
    assert await Task.objects.for_tenant(ann.tenant).acount() == await Firing.objects.for_tenant(ann.tenant).acount()


async def test_what_comes_back_after_days_finds_its_task(live_scene: Scene, context: Context) -> None:
    """An idempotency key holds for a day only; a nominal time makes one task for ever."""
    ann = live_scene.ann
    nominal = minutes_ago(timezone.now(), 3 * 24 * 60)
    schedule = await make(ann, next_at=nominal, catch_up="all")
    key = f"schedule:{schedule.pk}:{nominal:%Y-%m-%dT%H:%M:%SZ}"
    made = await sync_to_async(ann.task)(idempotency_key=key)
    await Task.objects.for_tenant(ann.tenant).filter(pk=made.pk).aupdate(created_at=nominal)
    await Schedule.objects.for_tenant(ann.tenant).filter(pk=schedule.pk).aupdate(cron="* * * * *")
    (row,) = await context.db.all(CLAIM, LEASE_S, BATCH)
    assert await Run(context, row)._submit(nominal) == made.pk
    assert await Task.objects.for_tenant(ann.tenant).acount() == 1


async def test_a_schedule_that_was_changed_meanwhile_stays_as_it_was_changed(
    live_scene: Scene, context: Context
) -> None:
    ann = live_scene.ann
    schedule = await make(ann, next_at=minutes_ago(timezone.now(), 0))
    (row,) = await context.db.all(CLAIM, LEASE_S, BATCH)
    assert await context.db.all(CLAIM, LEASE_S, BATCH) == []  # nobody else has it
    later = timezone.now() + timedelta(days=9)
    await Schedule.objects.for_tenant(ann.tenant).filter(pk=schedule.pk).aupdate(next_at=later)
    await Run(context, row).fire()
    after = await fresh(schedule)
    assert (after.next_at, after.lease_until) == (later, None)
    assert await states(schedule) == ["fired"]


@pytest.mark.parametrize(
    ("broken", "code"), [("agent", "invalid"), ("key", "invalid_api_key"), ("scope", "missing_scope")]
)
async def test_a_broken_schedule_says_why_and_is_paused(
    live_scene: Scene, context: Context, broken: str, code: str
) -> None:
    ann = live_scene.ann
    schedule = await make(ann, next_at=minutes_ago(timezone.now(), FAILURES_MAX + 2), catch_up="all")
    if broken == "agent":
        await Agent.objects.for_tenant(ann.tenant).aupdate(archived_at=timezone.now())
    elif broken == "key":
        await sync_to_async(revoke_key)(key=await ApiKey.objects.for_tenant(ann.tenant).aget())
    else:
        await ApiKey.objects.for_tenant(ann.tenant).aupdate(scopes=["tasks:read"])
    async with firing(context):
        await until(is_done(schedule))
    row = await fresh(schedule)
    assert (row.is_enabled, row.next_at, row.failures) == (False, None, FAILURES_MAX)
    await sync_to_async(resume)(schedule=row, now=timezone.now())
    again = await fresh(schedule)
    assert (again.is_enabled, again.failures, again.last_error, again.paused_at) == (True, 0, None, None)
    assert row.paused_at is not None
    assert row.last_error is not None
    assert row.last_error["code"] == code
    assert await states(schedule) == ["failed"] * FAILURES_MAX
    assert not await Task.objects.for_tenant(ann.tenant).aexists()


async def test_one_success_forgives_failures(live_scene: Scene, context: Context) -> None:
    ann = live_scene.ann
    schedule = await make(
        ann, next_at=minutes_ago(timezone.now(), 0), failures=FAILURES_MAX - 1, last_error={"code": "x"}
    )
    async with firing(context):
        await until(is_done(schedule))
    row = await fresh(schedule)
    assert (row.is_enabled, row.failures, row.last_error) == (True, 0, None)


async def test_a_limit_puts_it_off_and_it_counts_as_no_failure(live_scene: Scene, context: Context) -> None:
    ann = live_scene.ann
    await Tenant.objects.filter(pk=ann.tenant.pk).aupdate(requests_per_minute=1)
    nominal = minutes_ago(timezone.now(), 1)
    schedule = await make(ann, next_at=nominal, catch_up="all")

    async def put_off() -> bool:
        return (await fresh(schedule)).retry_at is not None

    async with firing(context):
        await until(put_off)
    row = await fresh(schedule)
    assert (row.failures, row.is_enabled, row.next_at) == (0, True, nominal + timedelta(minutes=1))
    assert row.last_error is not None
    assert row.last_error["code"] == "rate_limit_exceeded"
    assert await states(schedule) == ["fired"]
    await Tenant.objects.filter(pk=ann.tenant.pk).aupdate(requests_per_minute=0)
    await Schedule.objects.for_tenant(ann.tenant).aupdate(retry_at=timezone.now())

    async def heard() -> bool:
        return (await context.directory.principal_of(schedule.api_key_id)).limits.requests_per_minute == 0

    await until(heard)
    async with firing(context):
        await until(is_done(schedule))
    assert set(await states(schedule)) == {"fired"}
    assert (await fresh(schedule)).last_error is None


async def test_overlap_skips_while_the_last_task_runs(live_scene: Scene, context: Context) -> None:
    ann = live_scene.ann
    schedule = await make(ann, next_at=minutes_ago(timezone.now(), 2), catch_up="all", overlap="skip")
    async with firing(context):
        await until(is_done(schedule))
    first, *rest = await states(schedule)
    assert (first, set(rest)) == ("fired", {"skipped"})
    assert await Task.objects.for_tenant(ann.tenant).acount() == 1
    await Task.objects.for_tenant(ann.tenant).aupdate(state="succeeded", finished_at=timezone.now())
    await Schedule.objects.for_tenant(ann.tenant).aupdate(
        next_at=minutes_ago(timezone.now(), -1) - timedelta(minutes=1)
    )
    await Firing.objects.for_tenant(ann.tenant).adelete()
    async with firing(context):
        await until(is_done(schedule))
    assert "fired" in await states(schedule)
