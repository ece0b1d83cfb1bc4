"""What ends is announced in the transaction that ends it: to whom it concerns, once, and not at all if it is undone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import transaction
from django.utils import timezone

from agents.faces.database import Database
from agents.models import Task
from agents.recorder import record_once
from taskqueue.async_client import AsyncQueue
from taskqueue.messages import Finish, TaskError, Usage
from tests.agents.test_recording import queued
from tests.scene import Scene
from tests.webhooks.test_docs import MESSAGE
from webhooks.announcing import Announcement, announce
from webhooks.events import UnknownEventType
from webhooks.models import Delivery
from webhooks.services import create_endpoint

make = sync_to_async(create_endpoint)
URL = "https://hooks.example/"


@pytest.fixture
def live(transactional_db: None) -> Scene:
    return Scene.make()


@pytest.fixture
async def queue(live: Scene, redis_url: str) -> AsyncIterator[AsyncQueue]:
    queue = AsyncQueue(redis_url, live.pool.slug)
    yield queue
    await queue.aclose()


@pytest.fixture
async def postgres(live: Scene, database_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        yield connection


async def told(scene: Scene) -> list[Delivery]:
    """All that will be delivered, to whomever."""
    tenants = [scene.ann.tenant, scene.bob.tenant]
    return [row async for row in Delivery.objects.across_tenants().filter(tenant__in=tenants).order_by("type")]


async def finish(queue: AsyncQueue, live: Scene) -> dict[str, Task]:
    """One task of each tenant succeeds, and another of Ann's fails; nothing is recorded yet."""
    conversation = await sync_to_async(live.ann.conversation)()
    tasks = {
        "good": await sync_to_async(live.ann.task)(conversation=conversation, metadata={"order": 7}),
        "bad": await sync_to_async(live.ann.task)(),
        "bobs": await sync_to_async(live.bob.task)(),
    }
    await queue.enqueue([await sync_to_async(queued)(task) for task in tasks.values()])
    claimed = {turn.task: turn for turn in await queue.claim("w1", 3, lease_s=30)}
    ends: dict[str, dict[str, Any]] = {
        "good": {"state": "succeeded", "finish_reason": "stop", "usage": Usage(3, 1), "text": "secret answer"},
        "bad": {"state": "failed", "error": TaskError("boom", "It broke.")},
        "bobs": {"state": "succeeded", "text": "x"},
    }
    for name, task in tasks.items():
        turn = claimed[str(task.pk)]
        end = Finish(turn=turn.turn, task=turn.task, attempt=1, seq=turn.seq + 2, **ends[name])
        assert await queue.finish("w1", [end]) == []
    return tasks


async def test_a_task_s_outcome_is_told_to_its_tenant_s_endpoints(
    live: Scene, queue: AsyncQueue, postgres: psycopg.AsyncConnection
) -> None:
    everything = await make(tenant=live.ann.tenant, url=URL)
    failures = await make(tenant=live.ann.tenant, url=URL, event_types=["task.failed", "task.expired"])
    await make(tenant=live.ann.tenant, url=URL, enabled=False)
    tasks = await finish(queue, live)
    await record_once(postgres, queue)

    rows = await told(live)
    assert sorted((row.type, row.endpoint_id) for row in rows) == sorted(
        [
            ("task.succeeded", everything.endpoint.pk),
            ("task.failed", everything.endpoint.pk),
            ("task.failed", failures.endpoint.pk),
        ]
    )
    (good,) = [row for row in rows if row.type == "task.succeeded"]
    recorded = await Task.objects.for_tenant(live.ann.tenant).aget(pk=tasks["good"].pk)
    assert good.tenant_id == live.ann.tenant.pk
    assert set(good.payload) == {"type", "timestamp", "data"} == set(MESSAGE)
    assert set(good.payload["data"]) == set(MESSAGE["data"])  # as docs/webhooks.md shows it
    assert good.payload["timestamp"] == recorded.finished_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    data = good.payload["data"]
    assert (data["id"], data["agent"], data["state"]) == (str(recorded.pk), "poet", "succeeded")
    assert (data["conversation"], data["metadata"]) == (str(recorded.conversation_id), {"order": 7})
    assert data["usage"] == {"prompt_tokens": 3, "completion_tokens": 1}
    assert (data["finish_reason"], data["error"]) == ("stop", None)
    assert "secret answer" not in str(good.payload)
    assert rows[0].payload["data"]["error"] == {"code": "boom", "message": "It broke."}


async def test_records_that_come_twice_are_told_once(
    live: Scene, queue: AsyncQueue, postgres: psycopg.AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make(tenant=live.ann.tenant, url=URL)
    await finish(queue, live)

    async def forget(*args: object, **kwargs: object) -> None:
        """A recorder that dies between its commit and the acknowledgement."""

    with monkeypatch.context() as patch:
        patch.setattr(queue, "acknowledge", forget)
        assert await record_once(postgres, queue) > 0
    assert await record_once(postgres, queue) > 0
    assert [row.type for row in await told(live)] == ["task.failed", "task.succeeded"]


async def test_a_task_that_the_queue_does_not_know_is_told_of_when_it_is_cancelled(
    live: Scene, database_url: str
) -> None:
    await make(tenant=live.ann.tenant, url=URL, event_types=["task.cancelled"])
    task = await sync_to_async(live.ann.task)()
    db = Database(database_url)
    await db.open()
    for _ in range(2):
        await db.cancel_unknown(live.ann.tenant.pk, task.pk)
    await db.close()
    (row,) = await told(live)
    assert (row.type, row.payload["data"]["id"]) == ("task.cancelled", str(task.pk))


def test_what_is_rolled_back_is_not_told(scene: Scene) -> None:
    create_endpoint(tenant=scene.ann.tenant, url=URL)
    event = Announcement(tenant_id=scene.ann.tenant.pk, type="task.failed", data={"id": "7"}, at=timezone.now())
    with transaction.atomic():
        assert announce([event]) == 1
        transaction.set_rollback(True)
    assert not Delivery.objects.for_tenant(scene.ann.tenant).exists()
    assert announce([event, event]) == 2


def test_a_type_that_is_not_known_is_refused(scene: Scene) -> None:
    with pytest.raises(UnknownEventType, match=r"'task\.nope'; known are task\.succeeded"):
        announce([Announcement(tenant_id=scene.ann.tenant.pk, type="task.nope", data={}, at=timezone.now())])
