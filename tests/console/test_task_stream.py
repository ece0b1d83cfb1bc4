"""The stream of a task for staff: the tenant's own events, by the session of the console, from any cursor on."""

from __future__ import annotations

import secrets
import uuid
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.contrib.sessions.models import Session

from tenants.models import Tenant
from tests.faces.conftest import HandWorker, Web, live_scene, start, web, worker
from tests.faces.test_tasks import events_of
from tests.scene import Party, Scene
from tests.staff.members import at_the_console

__all__ = ["live_scene", "start", "web", "worker"]

ASK = {"agent": "poet", "input": "Hello"}


@pytest.fixture
def server() -> str:
    return "daphne"


@sync_to_async
def cookies(role: str | None, tenant: Tenant | None = None) -> dict[str, str]:
    """Those of somebody who is logged in; `role` None: without a role."""
    known = at_the_console(role, tenant).cookies
    return {"Cookie": "; ".join(f"{name}={morsel.value}" for name, morsel in known.items())}


async def submitted(client: httpx.AsyncClient, party: Party) -> str:
    answer = await client.post("/api/v1/tasks", json=ASK, headers=party.headers)
    return str(answer.json()["id"])


async def test_staff_reads_what_the_tenant_reads(web: Web, worker: HandWorker) -> None:
    seen = await cookies("viewer")
    async with web.client() as client:
        task = await submitted(client, web.scene.ann)
        url = f"/console/tasks/{task}/events"
        (turn,) = await worker.claim()
        await worker.say(turn, "One ", "two")

        live: list[tuple[int, str, Any]] = []
        async with client.stream("GET", url, headers=seen) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            text = ""
            async for piece in response.aiter_text():
                text += piece
                live = events_of(text)
                if len(live) >= 4:  # queued, running, both texts: then the reader goes
                    break
        await worker.say(turn, " three")
        await worker.end(turn, "One two three")
        rest = events_of((await client.get(url, headers={**seen, "Last-Event-ID": str(live[-1][0])})).text)
        tenants = events_of((await client.get(f"/api/v1/tasks/{task}/events", headers=web.scene.ann.headers)).text)
        assert [*live, *rest] == tenants
        assert rest[-1][1] == "outcome"
        assert (await client.get(url, headers={**seen, "Last-Event-ID": "x"})).status_code == 400


async def test_whose_task_it_is_not_reads_nothing(web: Web, worker: HandWorker) -> None:
    scene: Scene = web.scene
    async with web.client() as client:
        task = await submitted(client, scene.bob)
        await worker.serve(1, "secret")
        url = f"/console/tasks/{task}/events"

        async def status(known: dict[str, str], path: str = url) -> int:
            return (await client.get(path, headers=known)).status_code

        own = await cookies("tenant_administrator", scene.bob.tenant)
        foreign = await cookies("tenant_administrator", scene.ann.tenant)
        assert await status(own) == 200
        assert await status(foreign) == 404
        assert await status(await cookies(None)) == 403
        assert await status({}) == 401
        assert await status({"Cookie": "sessionid=made-up"}) == 401
        assert await status(own, f"/console/tasks/{uuid.uuid4()}/events") == 404
        assert await status(own, "/console/tasks/none/events") == 404
        assert (await client.get(url, headers=scene.ann.headers)).status_code == 401  # a key is no session
        await sync_to_async(Session.objects.filter(pk=own["Cookie"].removeprefix("sessionid=")).delete)()
        assert await status(own) == 401


async def test_a_stream_ends_for_its_reader_to_come_back(web: Web, worker: HandWorker) -> None:
    """What `life_s` bounds, in the route's own generator: the server's is too long for a test."""
    from agents.faces.tasks import _stream
    from taskqueue.inbox import EventHub

    async with web.client() as client:
        task = await submitted(client, web.scene.ann)
        hub = EventHub(worker.queue.link.url, f"test-{secrets.token_hex(4)}")
        try:
            async with hub.subscribe(web.scene.pool.slug, task) as subscription:
                pieces = [piece async for piece in _stream(subscription, life_s=0.0)]
            assert pieces == [b"retry: 1000\n\n"]
        finally:
            await hub.aclose()
