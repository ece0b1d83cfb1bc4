"""The demo's load, through the public API alone: one tenant by REST and server-sent events, the other by websocket.

Every stream is checked: numbers without gap or repeat, an outcome at the end, and the text equal to what the task's record says.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import websockets

from opsite.demo.events import read_events
from opsite.demo.scene import Actor

THEMES = (
    "love",
    "war",
    "the moon",
    "the sea",
    "a crown",
    "honour",
    "the night",
    "a sword",
    "the king",
    "roses",
    "death",
    "wine",
)
FORMS = ("Write a verse about {}.", "Speak of {}.", "A short speech on {}, please.", "Tell me about {} and sorrow.")
RECORDED_TIMEOUT_S = 30.0


@dataclass
class Watched:
    """One task as its client sees it."""

    tenant: str
    prompt: str
    way: str
    submitted_at: float
    task: str = ""
    text: str = ""
    state: str = "sent"
    last: int = 0
    first_text_at: float = 0.0
    finished_at: float = 0.0
    tokens: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def wait_s(self) -> float:
        """From submission to the first text."""
        return self.first_text_at - self.submitted_at

    def take(self, number: int, kind: str, data: dict[str, Any]) -> None:
        """One event of the stream."""
        if kind == "restart":
            self.text = ""
        elif number != self.last + 1:
            self.faults.append(f"event {number} follows {self.last}")
        self.last = number
        if kind == "text":
            self.first_text_at = self.first_text_at or time.monotonic()
            self.text += data["text"]
        elif kind == "state":
            self.state = data["state"]
        elif kind == "outcome":
            self.state, self.finished_at = data["state"], time.monotonic()
            self.tokens = data["usage"]["completion_tokens"]
            if self.state != "succeeded":
                self.faults.append(f"ended as {self.state}: {data.get('error')}")


class Load:
    """Submits the waves and keeps what the clients saw."""

    def __init__(self, url: str, actors: list[Actor], *, tasks: int, seed: int = 7) -> None:
        self._url, self._actors, self._tasks = url, actors, tasks
        self._random = random.Random(seed)
        self.watched: list[Watched] = []

    async def run(self) -> None:
        """All tasks of both tenants, from the first submission to the last outcome; then hold each against its record."""
        by_rest, by_socket = self._actors
        half = self._tasks // 2
        await asyncio.gather(self._rest(by_rest, half), self._websocket(by_socket, self._tasks - half))
        async with httpx.AsyncClient(base_url=self._url, timeout=30) as client:
            await asyncio.gather(*(self._compare(client, watched) for watched in self.watched))

    def _new(self, actor: Actor, way: str) -> tuple[Watched, dict[str, Any]]:
        prompt = self._random.choice(FORMS).format(self._random.choice(THEMES))
        watched = Watched(actor.tenant, prompt, way, time.monotonic())
        self.watched.append(watched)
        return watched, {"agent": actor.agent, "input": prompt, "metadata": {"from": "demo"}}

    async def _pause(self) -> None:
        await asyncio.sleep(self._random.expovariate(8.0))

    async def _rest(self, actor: Actor, count: int) -> None:
        headers = {"Authorization": f"Bearer {actor.key}"}
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=self._url, headers=headers, timeout=120, limits=limits) as client:
            streams = []
            for _ in range(count):
                watched, body = self._new(actor, "REST")
                answer = (await client.post("/api/v1/tasks", json=body)).raise_for_status().json()
                watched.task, watched.state = answer["id"], answer["state"]
                streams.append(asyncio.create_task(self._follow(client, watched)))
                await self._pause()
            await asyncio.gather(*streams)

    async def _follow(self, client: httpx.AsyncClient, watched: Watched) -> None:
        async with client.stream("GET", f"/api/v1/tasks/{watched.task}/events") as response:
            async for number, kind, data in read_events(response.aiter_lines()):
                watched.take(number, kind, data)

    async def _websocket(self, actor: Actor, count: int) -> None:
        address = self._url.replace("http", "ws", 1) + "/ws/v1/"
        headers = {"Authorization": f"Bearer {actor.key}"}
        async with websockets.connect(address, additional_headers=headers) as socket:
            sending = asyncio.create_task(self._submit(socket, actor, count))
            mine: dict[str, Watched] = {}
            ended = 0
            async for message in socket:
                said = json.loads(message)
                if said["type"] == "accepted":
                    watched = self.watched[said["ref"]]
                    watched.task = said["task"]["id"]
                    mine[watched.task] = watched
                elif said["type"] == "events":
                    watched = mine[said["task"]]
                    for event in said["events"]:
                        watched.take(event["cursor"], event["event"], event["data"])
                        ended += event["event"] == "outcome"
                    if ended == count:
                        break
                elif said["type"] == "error":
                    raise RuntimeError(f"the websocket refused: {said['problem']['detail']}")
            await sending

    async def _submit(self, socket: websockets.ClientConnection, actor: Actor, count: int) -> None:
        for _ in range(count):
            _, body = self._new(actor, "websocket")
            await socket.send(json.dumps({"type": "submit", "ref": len(self.watched) - 1, "task": body}))
            await self._pause()

    async def _compare(self, client: httpx.AsyncClient, watched: Watched) -> None:
        """The record follows the stream by some milliseconds; it must say the same."""
        key = next(actor.key for actor in self._actors if actor.tenant == watched.tenant)
        deadline = time.monotonic() + RECORDED_TIMEOUT_S
        record: dict[str, Any] = {"finished_at": None}
        while record["finished_at"] is None and time.monotonic() < deadline:
            answer = await client.get(f"/api/v1/tasks/{watched.task}", headers={"Authorization": f"Bearer {key}"})
            record = answer.raise_for_status().json()
            if record["finished_at"] is None:
                await asyncio.sleep(0.1)
        if record["finished_at"] is None:
            watched.faults.append("never recorded")
        elif (record["state"], record["output"]) != (watched.state, watched.text):
            watched.faults.append("the record differs from the stream")
