"""What the hot routes and the websocket refuse, and how: routes that are not there, keys that are no more, absent servers."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import websockets
from asgiref.sync import sync_to_async

from tenants import services
from tenants.models import ApiKey
from tests.faces.conftest import HandWorker, Web, await_ready, free_port
from tests.faces.test_socket import Client, connect
from tests.scene import Scene

pytestmark = [pytest.mark.timeout(90), pytest.mark.parametrize("server", ["daphne"], indirect=True)]
NOBODY = "00000000-0000-7000-8000-000000000000"
ASK: dict[str, Any] = {"agent": "poet", "input": "Hello"}
CHAT: dict[str, Any] = {"model": "poet", "messages": [{"role": "user", "content": "Hello"}]}


async def test_routes_and_methods_that_are_not_there(web: Web) -> None:
    async with web.client(web.scene.ann.headers) as client:
        for method, path, allowed in [
            ("PUT", f"/api/v1/tasks/{NOBODY}", {"GET", "HEAD", "DELETE"}),
            ("GET", f"/api/v1/tasks/{NOBODY}/cancel", {"POST"}),
            ("DELETE", f"/api/v1/tasks/{NOBODY}/events", {"GET", "HEAD"}),
            (
                "PUT",
                "/api/v1/tasks",
                {"GET", "HEAD", "OPTIONS", "POST"},
            ),  # Django serves the list, and knows who takes the POST
        ]:
            answer = await client.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed"), path
            assert answer.headers["content-type"] == "application/problem+json"
            assert set(answer.headers["allow"].split(", ")) == allowed
        for path in (f"/api/v1/tasks/{NOBODY}/nothing", "/api/v1/nothing", "/api/nothing"):
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json"), path
            assert path in answer.json()["detail"]
        for method, path, status in [("POST", "/v1/models", 405), ("GET", "/v1/nothing", 404), ("GET", "/v1", 404)]:
            answer = await client.request(method, path)  # as the OpenAI client reads it
            assert (answer.status_code, set(answer.json())) == (status, {"error"}), path


async def test_a_trailing_slash_makes_no_difference(web: Web) -> None:
    async with web.client(web.scene.ann.headers) as client:
        answer = await client.post("/api/v1/tasks/", json=ASK)
        assert answer.status_code == 202
        task = answer.json()["id"]
        assert (await client.get(f"/api/v1/tasks/{task}/")).json()["id"] == task
        assert (await client.get("/api/v1/tasks/")).json()["results"][0]["id"] == task
        assert (await client.get("/v1/models/")).status_code == 200


async def test_head_of_a_stream_does_not_wait_for_it(web: Web) -> None:
    async with web.client(web.scene.ann.headers) as client:
        task = (await client.post("/api/v1/tasks", json=ASK)).json()["id"]
        answer = await client.head(f"/api/v1/tasks/{task}/events")
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"].startswith("text/event-stream")


async def test_scopes(web: Web) -> None:
    calls: list[tuple[str, str, str, Any]] = [
        ("tasks:write", "POST", "/api/v1/tasks", ASK),
        ("tasks:write", "DELETE", f"/api/v1/tasks/{NOBODY}", None),
        ("tasks:write", "POST", f"/api/v1/tasks/{NOBODY}/cancel", None),
        ("tasks:read", "GET", f"/api/v1/tasks/{NOBODY}", None),
        ("tasks:read", "GET", f"/api/v1/tasks/{NOBODY}/events", None),
        ("tasks:read", "GET", "/api/v1/tasks", None),
        ("tasks:write", "POST", "/v1/chat/completions", CHAT | {"model": "nobody"}),
        ("agents:read", "GET", "/v1/models", None),
        ("agents:read", "GET", "/v1/models/poet", None),
    ]
    async with web.client() as client:
        for given in ("tasks:write", "tasks:read", "agents:read"):
            key = (
                await sync_to_async(services.issue_key)(tenant=web.scene.ann.tenant, name="k", scopes=[given])
            ).secret
            for needed, method, path, body in calls:
                answer = await client.request(method, path, json=body, headers={"Authorization": f"Bearer {key}"})
                assert (answer.status_code == 403) == (given != needed), (given, method, path)
                if given != needed:
                    assert f"'{needed}'" in answer.text


async def test_an_archived_agent_takes_no_new_task(web: Web, worker: HandWorker) -> None:
    async with web.client(web.scene.ann.headers) as client:
        assert (await client.post("/api/v1/tasks", json=ASK)).status_code == 202
        assert (await client.delete("/api/v1/agents/poet")).status_code == 204
        async with asyncio.timeout(10):  # within a second, for what the process remembers
            while (answer := await client.post("/api/v1/tasks", json=ASK)).status_code == 202:
                pass
        assert [error["field"] for error in answer.json()["errors"]] == ["agent"]
        assert (await client.post("/v1/chat/completions", json=CHAT)).status_code == 404
        assert "poet" not in (await client.get("/v1/models")).text
        await worker.serve(1, "what was accepted is still answered")


async def test_a_revoked_key_ends_its_websocket(web: Web) -> None:
    async with connect(web, web.scene.ann.headers) as socket:
        client = Client(socket)
        await client.hear("ready")
        await client.say(type="submit", task=ASK, follow=False)
        await client.hear("accepted")
        key = await ApiKey.objects.for_tenant(web.scene.ann.tenant).aget(name="test")
        await sync_to_async(services.revoke_key)(key=key)
        status = 404
        async with asyncio.timeout(10):
            while status == 404:  # the key is remembered for a moment
                await client.say(type="cancel", task=NOBODY)
                status = (await client.hear("error"))["problem"]["status"]
        assert status == 401
        with pytest.raises(websockets.ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 4401


async def test_cursors_that_are_none(web: Web) -> None:
    async with connect(web, web.scene.ann.headers) as socket:
        client = Client(socket)
        await client.hear("ready")
        for cursor in (-1, 2**53 + 1, 2**70):
            await client.say(type="follow", task=NOBODY, cursor=cursor)
            assert (await client.hear("error"))["problem"]["errors"][0]["field"] == "cursor"
        await client.say(type="submit", task={**ASK, "input": "a\x00b"})
        assert (await client.hear("error"))["problem"]["errors"][0]["field"] == "task.input"


@pytest.fixture
def elsewhere(live_scene: Scene, start: Callable[..., subprocess.Popen[bytes]]) -> Callable[..., Web]:
    """A web process that looks for its servers in the wrong place."""

    def begin(**env: str) -> Web:
        port = free_port()
        process = start("serve", "--port", str(port), **env)
        await_ready(f"http://127.0.0.1:{port}", process, status=503)
        return Web(f"http://127.0.0.1:{port}", process, live_scene)

    return begin


async def test_a_database_that_is_away_is_503_everywhere(
    server: str, elsewhere: Callable[..., Web], tmp_path: Path
) -> None:
    web = elsewhere(DATABASE_URL=f"postgresql://opsite@/opsite?host={tmp_path}")
    async with web.client(web.scene.ann.headers) as client:
        ready = (await client.get("/readyz")).json()
        assert (ready["postgres"], ready["redis"]) == ("does not answer", "ok")
        # Django's routes first: they answer at once, the hot ones wait a little for Postgres to come back.
        calls: list[tuple[str, str, Any]] = [
            ("GET", "/api/v1/agents", None),
            ("POST", "/api/v1/agents", {"slug": "x"}),
            ("GET", "/api/v1/conversations", None),
            ("DELETE", f"/api/v1/conversations/{NOBODY}", None),
            ("GET", "/api/v1/tasks", None),
            ("POST", "/api/v1/tasks", ASK),
            ("GET", f"/api/v1/tasks/{NOBODY}", None),
            ("GET", f"/api/v1/tasks/{NOBODY}/events", None),
        ]
        answers = await asyncio.gather(*(client.request(method, path, json=body) for method, path, body in calls))
        for answer in answers:
            assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
            assert (answer.headers["retry-after"], answer.json()["code"]) == ("1", "unavailable")
        assert (await client.get("/api/schema/")).status_code == 200  # the document needs no database
    async with openai.AsyncOpenAI(base_url=f"{web.url}/v1", api_key=web.scene.ann.key, max_retries=0) as ann:
        with pytest.raises(openai.InternalServerError) as refused:
            await ann.models.list()
        assert refused.value.status_code == 503
    async with connect(web, web.scene.ann.headers) as socket:
        problem = (await Client(socket).hear("error"))["problem"]
        assert (problem["status"], problem["retry_after_s"]) == (503, 1)
        with pytest.raises(websockets.ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 4503


async def test_a_queue_that_is_away_is_503_everywhere(
    server: str, elsewhere: Callable[..., Web], tmp_path: Path
) -> None:
    web = elsewhere(REDIS_URL=f"unix://{tmp_path}/none.sock")
    task = await sync_to_async(web.scene.ann.task)()
    async with web.client(web.scene.ann.headers) as client:
        answers: list[httpx.Response] = await asyncio.gather(
            client.post("/api/v1/tasks", json=ASK),
            client.delete(f"/api/v1/tasks/{task.pk}"),
            client.get(f"/api/v1/tasks/{task.pk}/events"),
            client.post("/v1/chat/completions", json=CHAT),
            client.post("/v1/chat/completions", json={**CHAT, "stream": True}),
        )
        for answer in answers:
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), answer.text
        assert (await client.get(f"/api/v1/tasks/{task.pk}")).json()["state"] == "queued"
        assert (await client.get("/api/v1/agents")).status_code == 200
    async with connect(web, web.scene.ann.headers) as socket:
        client = Client(socket)
        await client.hear("ready")
        for message in (
            {"type": "submit", "task": ASK},
            {"type": "submit", "task": ASK, "follow": False},
            {"type": "follow", "task": str(task.pk)},
            {"type": "cancel", "task": str(task.pk)},
        ):
            await client.say(**message)
            assert (await client.hear("error"))["problem"]["status"] == 503, message
        await client.say(type="ping")
        await client.hear("pong")  # the connection is still there
