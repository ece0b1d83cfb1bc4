"""The websocket: many tasks over one connection, resumable, in order, and closed to other tenants."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from typing import Any

import pytest
import websockets

from tests.faces.conftest import HandWorker, Web

pytestmark = [pytest.mark.timeout(90)]
only_daphne = pytest.mark.parametrize("server", ["daphne"], indirect=True)


class Client:
    """A websocket with the few verbs that the tests need."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket
        self.accepted: list[dict[str, Any]] = []

    async def say(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def hear(self, kind: str) -> dict[str, Any]:
        async with asyncio.timeout(30):
            said: dict[str, Any] = json.loads(await self.socket.recv())
        assert said["type"] == kind, said
        return said

    async def events(self, until: int) -> dict[str, list[tuple[int, str, Any]]]:
        """Events by task until so many outcomes came."""
        events: dict[str, list[tuple[int, str, Any]]] = {}
        while until:
            async with asyncio.timeout(30):
                said = json.loads(await self.socket.recv())
            if said["type"] == "accepted":  # comes between the events of tasks that were accepted before
                self.accepted.append(said)
                continue
            assert said["type"] == "events", said
            for event in said["events"]:
                events.setdefault(said["task"], []).append((event["cursor"], event["event"], event["data"]))
                until -= event["event"] == "outcome"
        return events


def connect(web: Web, headers: dict[str, str] | None = None) -> Any:
    return websockets.connect(web.url.replace("http", "ws") + "/ws/v1/", additional_headers=headers or {})


async def test_many_tasks_at_once(web: Web, worker: HandWorker) -> None:
    async with connect(web, web.scene.ann.headers) as socket:
        client = Client(socket)
        await client.hear("ready")
        for ref in range(5):
            await client.say(type="submit", ref=ref, task={"agent": "poet", "input": f"number {ref}"})
        serving = asyncio.create_task(worker.serve(5, "a", "b"))
        events = await client.events(until=5)
        await serving
    assert [message["ref"] for message in client.accepted] == list(range(5))
    assert set(events) == {message["task"]["id"] for message in client.accepted}
    for stream in events.values():
        assert [number for number, _, _ in stream] == [1, 2, 3, 4, 5]
        assert [data["text"] for _, kind, data in stream if kind == "text"] == ["a", "b"]


@only_daphne
async def test_following_from_a_cursor(web: Web, worker: HandWorker) -> None:
    async with connect(web, web.scene.ann.headers) as socket:
        client = Client(socket)
        await client.hear("ready")
        await client.say(type="submit", task={"agent": "poet", "input": "x"}, follow=False)
        task = (await client.hear("accepted"))["task"]["id"]
        (turn,) = await worker.claim()
        await worker.say(turn, "a", "b")
    async with connect(web, web.scene.ann.headers) as socket:
        client = Client(socket)
        await client.hear("ready")
        await client.say(type="follow", ref="f", task=task, cursor=3)
        assert (await client.hear("following"))["ref"] == "f"
        await worker.say(turn, "c")
        await worker.end(turn, "abc")
        events = await client.events(until=1)
        assert [number for number, _, _ in events[task]] == [4, 5, 6]
        await client.say(type="ping", ref=1)
        assert (await client.hear("pong"))["ref"] == 1


@only_daphne
async def test_cancel_and_unfollow(web: Web) -> None:
    async with connect(web, web.scene.ann.headers) as socket:
        client = Client(socket)
        await client.hear("ready")
        await client.say(type="submit", task={"agent": "poet", "input": "x"}, follow=False)
        task = (await client.hear("accepted"))["task"]["id"]
        await client.say(type="unfollow", task=task)
        await client.hear("unfollowed")
        await client.say(type="follow", task=task)
        await client.hear("following")
        await client.say(type="cancel", ref="c", task=task)
        seen: list[dict[str, Any]] = []
        while not (
            any(event["event"] == "outcome" for said in seen for event in said.get("events", ()))
            and any(said["type"] == "cancelling" and said["ref"] == "c" for said in seen)
        ):
            async with asyncio.timeout(30):
                seen.append(json.loads(await socket.recv()))
        outcome = next(e for said in seen for e in said.get("events", ()) if e["event"] == "outcome")
        assert outcome["data"]["state"] == "cancelled"


@only_daphne
async def test_refusals_keep_the_connection(web: Web) -> None:
    async with connect(web, web.scene.bob.headers) as socket:
        client = Client(socket)
        await client.hear("ready")
        for message, field in [
            ({"type": "dance"}, "type"),
            ({"type": "submit", "task": {"agent": "poet"}}, "input"),
            ({"type": "submit", "task": {"agent": "poet", "input": 3}}, "input"),
            ({"type": "submit", "task": None}, "body"),
            ({"type": "follow"}, "task"),
            ({"type": "follow", "task": "x", "colour": 1}, "colour"),
        ]:
            await client.say(**message, ref="r")
            said = await client.hear("error")
            assert said["problem"]["errors"][0]["field"] == field, said
        await socket.send("not json")
        assert (await client.hear("error"))["problem"]["code"] == "invalid_json"
        await client.say(type="ping")
        await client.hear("pong")


@only_daphne
async def test_another_tenant_s_task_does_not_exist(web: Web) -> None:
    async with connect(web, web.scene.ann.headers) as ann, connect(web, web.scene.bob.headers) as bob:
        mine, theirs = Client(ann), Client(bob)
        await mine.hear("ready")
        await theirs.hear("ready")
        await mine.say(type="submit", task={"agent": "poet", "input": "x"}, follow=False)
        task = (await mine.hear("accepted"))["task"]["id"]
        for kind in ("follow", "cancel"):
            for wanted in (task, str(uuid.uuid4())):
                await theirs.say(type=kind, task=wanted)
                assert (await theirs.hear("error"))["problem"]["status"] == 404


@only_daphne
async def test_authentication(web: Web) -> None:
    async with connect(web) as socket:
        client = Client(socket)
        await client.say(type="auth", key=web.scene.ann.key)
        await client.hear("ready")
    for first in ({"type": "auth", "key": "ops_wrong"}, {"type": "ping"}):
        async with connect(web) as socket:
            client = Client(socket)
            await client.say(**first)
            assert (await client.hear("error"))["problem"]["status"] == 401
            with pytest.raises(websockets.ConnectionClosed):
                await socket.recv()
            assert socket.close_code == 4401


async def test_who_floods_is_told_so_and_closed_and_nobody_else_feels_it(web: Web) -> None:
    async with connect(web, web.scene.ann.headers) as flooding, connect(web, web.scene.ann.headers) as quiet:
        client, other = Client(flooding), Client(quiet)
        await client.hear("ready")
        await other.hear("ready")

        async def flood() -> None:
            with contextlib.suppress(websockets.ConnectionClosed):
                for ref in range(6_000):
                    await client.say(type="ping", ref=ref)

        sending = asyncio.create_task(flood())
        last: dict[str, Any] = {}
        async with asyncio.timeout(60):
            with contextlib.suppress(websockets.ConnectionClosed):
                while True:
                    last = json.loads(await flooding.recv())
        await sending
        assert last["problem"]["code"] == "too_many_messages"
        assert last["problem"]["status"] == 429
        assert flooding.close_code == 4429
        await other.say(type="ping", ref="still here")
        assert (await other.hear("pong"))["ref"] == "still here"
