"""A client that leaves in mid-answer: its task ends and its slot is free where that was asked for, and goes on where it was not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx
import openai
import pytest

from taskqueue.async_client import AsyncQueue
from taskqueue.messages import Record
from tenants.models import Tenant
from tests.faces.conftest import HandWorker, Web
from tests.faces.test_socket import Client, connect
from tests.gpu_worker.conftest import StartWorker, outcomes, start_worker
from tests.scene import Party, Scene

__all__ = ["start_worker"]  # a fixture

pytestmark = pytest.mark.timeout(120)
only_daphne = pytest.mark.parametrize("server", ["daphne"], indirect=True)
LONG = 20_000
"""Tokens of an answer that takes far longer than any test waits."""
CHAT: dict[str, Any] = {"model": "poet", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": LONG}
TASK: dict[str, Any] = {"agent": "poet", "input": "Hi", "parameters": {"max_tokens": LONG}}


@pytest.fixture
def pool(live_scene: Scene) -> str:
    """The worker serves the scene's pool."""
    return live_scene.pool.slug


@pytest.fixture
async def queue(redis_url: str, pool: str) -> AsyncIterator[AsyncQueue]:
    queue = AsyncQueue(redis_url, pool)
    yield queue
    await queue.aclose()


async def asked_for(scene: Scene) -> None:
    """Ann has it so; Bob does not."""
    await Tenant.objects.filter(pk=scene.ann.tenant.pk).aupdate(cancel_on_disconnect=True)


async def running(queue: AsyncQueue, count: int = 1) -> None:
    """Wait until so many turns run."""
    async with asyncio.timeout(60):
        while (await queue.signals()).running != count:  # noqa: ASYNC110 - other processes do it
            await asyncio.sleep(0.02)


async def the_end(queue: AsyncQueue) -> Record:
    """The one outcome, once nothing runs any more."""
    ended = await outcomes(queue, 1)
    assert (await queue.signals()).running == 0
    (record,) = ended.values()
    return record


@asynccontextmanager
async def chatting(web: Web, **more: Any) -> AsyncIterator[httpx.Response]:
    """A streamed answer; its connection is dropped at the end of the block."""
    async with (
        web.client(web.scene.ann.headers) as client,
        client.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True, **more}) as answer,
    ):
        assert answer.status_code == 200
        async with aclosing(answer.aiter_lines()) as lines:
            async for line in lines:
                if '"content":"' in line and '"content":""' not in line:
                    break
        yield answer


@pytest.mark.parametrize("server", ["daphne", "uvicorn"], indirect=True)
async def test_a_streamed_chat_ends_with_its_client(web: Web, start_worker: StartWorker, queue: AsyncQueue) -> None:
    await asked_for(web.scene)
    start_worker(slots=1)
    async with chatting(web):
        await running(queue)
    record = await the_end(queue)
    assert (record.state, record.attempt) == ("cancelled", 1)


@pytest.mark.parametrize("server", ["daphne", "uvicorn"], indirect=True)
async def test_a_whole_chat_ends_with_its_client(web: Web, start_worker: StartWorker, queue: AsyncQueue) -> None:
    start_worker(slots=1)
    async with web.client(web.scene.ann.headers) as client:
        body = {**CHAT, "cancel_on_disconnect": True}
        asking = asyncio.create_task(client.post("/v1/chat/completions", json=body))
        await running(queue)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert (await the_end(queue)).state == "cancelled"


@only_daphne
async def test_one_that_waits_leaves_the_line(web: Web, queue: AsyncQueue) -> None:
    """No worker at all: the queue ends it."""
    await asked_for(web.scene)
    async with web.client(web.scene.ann.headers) as client:
        asking = asyncio.create_task(client.post("/v1/chat/completions", json=CHAT))
        async with asyncio.timeout(60):
            while (await queue.signals()).waiting != 1:  # noqa: ASYNC110 - another process does it
                await asyncio.sleep(0.02)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert (await the_end(queue)).state == "cancelled"


@only_daphne
async def test_who_did_not_ask_for_it_has_the_task_go_on(web: Web, worker: HandWorker) -> None:
    """Neither by default, nor where the request says no, nor where an idempotency key says that it may come back."""
    await asked_for(web.scene)
    asks: list[tuple[Party, dict[str, Any], dict[str, str]]] = [
        (web.scene.bob, {}, {}),
        (web.scene.ann, {"cancel_on_disconnect": False}, {}),
        (web.scene.ann, {}, {"Idempotency-Key": "again"}),
    ]
    for party, more, headers in asks:
        async with web.client({**party.headers, **headers}) as client:
            body = {**CHAT, "stream": True, **more}
            async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
                (turn,) = await worker.claim()
                await worker.say(turn, "begun")
                async for line in answer.aiter_lines():
                    if "begun" in line:
                        break
        await forgotten(worker, turn.task)
        await worker.end(turn)  # nobody has told it to stop
    records = [record for record in await worker.queue.read_records() if record.kind == "finished"]
    assert [record.state for record in records] == ["succeeded"] * 3


async def forgotten(worker: HandWorker, task: str) -> None:
    """The web process has seen that the reader left."""
    async with asyncio.timeout(60):
        while await worker.queue.link.ask("EXISTS", f"opsite:{{{worker.queue.pool}}}:follow:{task}"):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@only_daphne
async def test_a_websockets_tasks_end_with_it_but_for_those_it_let_go(
    web: Web, worker: HandWorker, queue: AsyncQueue
) -> None:
    await asked_for(web.scene)
    async with connect(web, web.scene.ann.headers) as socket:
        client = Client(socket)
        await client.hear("ready")
        tasks: dict[str, str] = {}
        wishes: dict[str, dict[str, Any]] = {
            "followed": {"task": TASK},
            "unfollowed": {"task": TASK},
            "not followed": {"task": TASK, "follow": False},
            "asked otherwise": {"task": {**TASK, "cancel_on_disconnect": False}},
            "with a key": {"task": {**TASK, "idempotency_key": "again"}},
        }
        for name, message in wishes.items():
            await client.say(type="submit", ref=name, **message)
        while len(tasks) < len(wishes):
            said = json.loads(await socket.recv())
            if said["type"] == "accepted":
                tasks[said["ref"]] = said["task"]["id"]
        await client.say(type="unfollow", task=tasks["unfollowed"])
        while json.loads(await socket.recv())["type"] != "unfollowed":
            pass
        await worker.claim(len(wishes))
    async with asyncio.timeout(60):
        while not (stops := await queue.emit(worker.name, [])):  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.02)
    by_turn = {record.turn: record.task for record in await queue.read_records() if record.kind == "claimed"}
    assert [(by_turn[stop.turn], stop.reason) for stop in stops] == [(tasks["followed"], "cancelled")]


@only_daphne
async def test_a_reader_of_events_may_come_and_go(web: Web, worker: HandWorker) -> None:
    await asked_for(web.scene)
    async with web.client(web.scene.ann.headers) as client:
        task = (await client.post("/api/v1/tasks", json=TASK)).json()["id"]
        async with client.stream("GET", f"/api/v1/tasks/{task}/events") as answer:
            (turn,) = await worker.claim()
            await worker.say(turn, "begun")
            async for line in answer.aiter_lines():
                if "begun" in line:
                    break
    await forgotten(worker, task)
    await worker.end(turn)


@only_daphne
async def test_a_wish_that_cannot_be_granted_is_refused(web: Web) -> None:
    wish = {"cancel_on_disconnect": True}
    async with web.client(web.scene.ann.headers) as client:
        calls: list[tuple[str, dict[str, Any], dict[str, str]]] = [
            ("/api/v1/tasks", {**TASK, **wish}, {}),
            ("/api/v1/tasks", {**TASK, "cancel_on_disconnect": None}, {}),
        ]
        for path, body, headers in calls:
            answer = await client.post(path, json=body, headers=headers)
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "cancel_on_disconnect")
        assert (await client.post("/api/v1/tasks", json={**TASK, "cancel_on_disconnect": False})).status_code == 202
    async with openai.AsyncOpenAI(base_url=f"{web.url}/v1", api_key=web.scene.ann.key, max_retries=0) as ann:
        with pytest.raises(openai.BadRequestError) as refused:
            await ann.chat.completions.create(**CHAT, extra_body=wish, extra_headers={"Idempotency-Key": "again"})
        assert refused.value.param == "cancel_on_disconnect"


@pytest.mark.parametrize("server", ["daphne", "uvicorn"], indirect=True)
async def test_a_server_that_ends_is_no_client_that_left(web: Web, worker: HandWorker) -> None:
    await asked_for(web.scene)
    async with (
        connect(web, web.scene.ann.headers) as socket,
        web.client(web.scene.ann.headers) as client,
        client.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}),
    ):
        watcher = Client(socket)
        await watcher.hear("ready")
        await watcher.say(type="submit", task=TASK)
        await watcher.hear("accepted")
        await worker.claim(2)
        web.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):  # one of the servers waits for its streams
            await asyncio.to_thread(web.process.wait, 5)
        web.process.kill()
        await asyncio.to_thread(web.process.wait)
        assert await worker.queue.emit(worker.name, []) == []
