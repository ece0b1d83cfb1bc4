"""A task's place in the queue, and refusals for want of time or of capacity, on a real web process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import openai
import pytest
from asgiref.sync import sync_to_async
from redis import Redis

from agents.models import Message, Task, Turn
from taskqueue import keys
from taskqueue.outlook import Outlook
from taskqueue.sync_client import foretell
from tenants.models import Tenant
from tests.faces.conftest import HandWorker, Web
from tests.faces.test_socket import Client, connect

pytestmark = [pytest.mark.timeout(90), pytest.mark.parametrize("server", ["daphne"], indirect=True)]
TASKS = "/api/v1/tasks"
ASK: dict[str, Any] = {"agent": "poet", "input": "Hello"}
HOUR_S = 3600
Foretell = Callable[..., None]


@pytest.fixture
def told(web: Web, redis: Redis) -> Foretell:
    """Publishes the pool's outlook, as an orchestrator does."""

    def tell(**outlook: Any) -> None:
        foretell(redis, {web.scene.pool.slug: Outlook(**outlook)}, hold_s=HOUR_S)

    return tell


def in_s(redis: Redis, seconds: float) -> int:
    now_s, micros = redis.time()
    return now_s * 1000 + micros // 1000 + round(seconds * 1000)


async def rows_of(web: Web) -> tuple[int, int]:
    tenant = web.scene.ann.tenant
    return (await Task.objects.for_tenant(tenant).acount(), await Turn.objects.for_tenant(tenant).acount())


async def test_a_task_knows_its_place_until_it_runs(web: Web, worker: HandWorker, told: Foretell) -> None:
    async with web.client() as client:
        ann, bob = web.scene.ann.headers, web.scene.bob.headers
        unknown = {"position": 1, "waiting": 1, "expected_wait_s": None}
        first = (await client.post(TASKS, json=ASK, headers=ann)).json()
        assert first["queue"] == unknown  # no orchestrator runs
        second = (await client.post(TASKS, json=ASK, headers=ann)).json()
        other = (await client.post(TASKS, json=ASK, headers=bob)).json()
        assert [(task["queue"]["position"], task["queue"]["waiting"]) for task in (second, other)] == [(2, 2), (1, 3)]
        told(ready=1)
        (turn,) = await worker.claim()
        assert turn.task == first["id"]

        async def seen(task: Any, headers: dict[str, str]) -> Any:
            return (await client.get(f"{TASKS}/{task['id']}", headers=headers)).json()["queue"]

        assert await seen(first, ann) is None
        assert await seen(second, ann) == {
            "position": 1, "waiting": 2, "expected_wait_s": {"low": 0.0, "high": None},  # how long a turn takes was never seen
        }  # fmt: skip
        await worker.end(turn)
        now = await seen(second, ann)
        assert now["expected_wait_s"]["high"] >= 0.5
        cancelled = await client.delete(f"{TASKS}/{second['id']}", headers=ann)
        assert cancelled.json()["queue"] is None


async def test_the_other_faces_tell_it_too(web: Web, worker: HandWorker, told: Foretell) -> None:
    told(ready=1)
    async with connect(web, web.scene.ann.headers) as socket:
        client = Client(socket)
        await client.hear("ready")
        await client.say(type="submit", task=ASK, follow=False)
        place = {"position": 1, "waiting": 1, "expected_wait_s": {"low": 0.0, "high": 0.5}}
        assert (await client.hear("accepted"))["task"]["queue"] == place
    async with openai.AsyncOpenAI(base_url=f"{web.url}/v1", api_key=web.scene.ann.key, max_retries=0) as ann:
        hello: Any = {"model": "poet", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
        raw = await ann.chat.completions.with_raw_response.create(**hello)
        said = {name: value for name, value in raw.headers.items() if name.startswith("x-queue-")}
        assert said == {"x-queue-position": "2", "x-queue-expected-wait-low": "0"}
        await worker.serve(2, "Hi")
        assert [chunk async for chunk in raw.parse()]


async def test_a_repeated_request_is_told_where_its_task_stands(web: Web, told: Foretell) -> None:
    async with web.client(web.scene.ann.headers) as client:
        ask = {**ASK, "idempotency_key": "k", "deadline_s": 5}
        first, _ = [await client.post(TASKS, json=one) for one in (ask, {**ASK, "priority": 0})]
        told(no_capacity="This model is paused. No worker serves it.", retry_s=60)
        again = await client.post(TASKS, json=ask)
        assert (again.status_code, again.json()["id"]) == (
            202,
            first.json()["id"],
        )  # it costs nothing, and is not refused
        assert again.json()["queue"]["position"] == 2


async def test_a_deadline_that_cannot_be_met_is_refused_and_leaves_nothing(
    web: Web, worker: HandWorker, told: Foretell, redis: Redis
) -> None:
    await Tenant.objects.filter(pk=web.scene.ann.tenant.pk).aupdate(requests_per_minute=60, tokens_per_minute=10_000)
    told(earliest=((in_s(redis, 40), 4),), latest=((in_s(redis, 100), 4),))
    async with web.client(web.scene.ann.headers) as client:
        several = [await sync_to_async(web.scene.ann.conversation)() for _ in range(10)]
        before = {name.decode() for name in redis.keys("*")}
        hasty = [{**ASK, "deadline_s": 5, "conversation": str(conversation.pk)} for conversation in several]
        answers = await asyncio.gather(*(client.post(TASKS, json=one) for one in hasty))
        for answer in answers:
            assert (answer.status_code, answer.json()["code"]) == (422, "deadline_too_early")
            expected = answer.json()["expected_wait_s"]
            assert 20 <= expected["low"] <= 40
            assert expected["high"] <= 101
            assert f"at least {expected['low']:g} s" in answer.json()["detail"]
            assert "retry-after" not in answer.headers
        assert await rows_of(web) == (0, 0)
        assert await Message.objects.for_tenant(web.scene.ann.tenant).acount() == 0
        budget = keys.budget(str(web.scene.ann.tenant.pk))
        left = {name.decode() for name in redis.keys("*")} - before
        assert left <= {f"{budget}requests", f"{budget}tokens"}
        for name in left:  # given back, to the last one
            assert (redis.get(name) or b"0").split()[0] == b"0"
        patient = await client.post(TASKS, json={**ASK, "deadline_s": 60})
        assert (patient.status_code, (await worker.queue.signals()).waiting) == (202, 1)
        redis.delete(keys.outlook(web.scene.pool.slug))
        assert (await client.post(TASKS, json=hasty[0])).status_code == 202  # nobody knows: it may be met
    async with connect(web, web.scene.ann.headers) as socket:
        told(earliest=((in_s(redis, 40), 4),))
        session = Client(socket)
        await session.hear("ready")
        await session.say(type="submit", task={**ASK, "deadline_s": 5})
        problem = (await session.hear("error"))["problem"]
        assert (problem["status"], problem["expected_wait_s"]["high"]) == (422, None)


async def test_no_capacity_is_503_and_leaves_nothing(web: Web, worker: HandWorker, told: Foretell) -> None:
    told(no_capacity="This model is paused. No worker serves it.", retry_s=60)
    async with web.client(web.scene.ann.headers) as client:
        answers = await asyncio.gather(*(client.post(TASKS, json=ASK) for _ in range(20)))
        for answer in answers:
            assert (answer.status_code, answer.json()["code"]) == (503, "no_capacity")
            assert answer.headers["retry-after"] == "60"
            assert "paused" in answer.json()["detail"]
        assert await rows_of(web) == (0, 0)
        assert (await worker.queue.signals()).waiting == 0
        async with openai.AsyncOpenAI(base_url=f"{web.url}/v1", api_key=web.scene.ann.key, max_retries=0) as ann:
            hello: Any = {"model": "poet", "messages": [{"role": "user", "content": "Hello"}]}
            with pytest.raises(openai.InternalServerError) as refused:
                await ann.chat.completions.create(**hello)
            assert (refused.value.status_code, refused.value.code) == (503, "no_capacity")
            assert refused.value.response.headers["retry-after"] == "60"
        told(ready=4)
        async with asyncio.timeout(10):  # within a second, for what the process remembers
            while (await client.post(TASKS, json=ASK)).status_code != 202:
                pass
