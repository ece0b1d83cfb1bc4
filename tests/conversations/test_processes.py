"""Messages that wait, by real processes that are killed: nothing is lost, and the order stays."""

from __future__ import annotations

import asyncio
import signal
import subprocess

import httpx
import pytest
from asgiref.sync import sync_to_async

from agents.models import Message, Reply, Task
from tests.conversations.conftest import Start, prompt
from tests.faces.conftest import PATIENCE_S, HandWorker, Web, await_ready, free_port
from tests.faces.test_tasks import events_of
from tests.scene import Scene

pytestmark = pytest.mark.timeout(150)


def _web(scene: Scene, start: Start) -> Web:
    port = free_port()
    process = start("serve", "--port", str(port), "--server", "uvicorn")
    return Web(f"http://127.0.0.1:{port}", process, scene)


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


async def _recorded(client: httpx.AsyncClient, task: object) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await client.get(f"/api/v1/tasks/{task}")).json()["state"] != "succeeded":
            pass


async def test_two_web_processes_race_and_everybody_is_killed_once(
    live_scene: Scene, worker: HandWorker, start: Start
) -> None:
    ann = live_scene.ann
    conversation = str((await sync_to_async(ann.conversation)()).pk)
    webs = [_web(live_scene, start) for _ in range(2)]
    recorder, effects = start("record"), start("effects")
    for web in webs:
        await_ready(web.url, web.process)
    clients = [web.client(ann.headers) for web in webs]
    asked = {"agent": "poet", "conversation": conversation}
    answers = await asyncio.gather(
        *(clients[n % 2].post("/api/v1/tasks", json={**asked, "input": f"m{n}"}) for n in range(6))
    )
    assert [answer.status_code for answer in answers] == [202] * 6
    assert sorted(answer.json()["state"] for answer in answers) == ["queued"] + ["waiting"] * 5
    order = [reply.task_id async for reply in Reply.objects.for_tenant(ann.tenant).order_by("number")]
    texts = {answer.json()["id"]: f"m{n}" for n, answer in enumerate(answers)}
    said = [texts[str(task)] for task in order]

    follower = asyncio.create_task(clients[1].get(f"/api/v1/tasks/{order[1]}/events"))
    effects.send_signal(signal.SIGSTOP)
    (turn,) = await worker.claim()
    await worker.end(turn, "a0")
    await _recorded(clients[1], order[0])  # and the second cannot begin
    for process in (effects, recorder, webs[0].process):
        _kill(process)
    assert await Task.objects.for_tenant(ann.tenant).filter(state="waiting").acount() == 5
    start("record")
    start("effects")
    past = [said[0], "[a0]"]
    for number in range(1, 6):
        (turn,) = await worker.claim()
        past.append(said[number])
        assert (turn.task, prompt(turn)) == (str(order[number]), past)
        await worker.say(turn, f"a{number}")
        await worker.end(turn, f"a{number}")
        past.append(f"[a{number}]")
    await _recorded(clients[1], order[-1])
    told = [(kind, data) for _, kind, data in events_of((await follower).text)]
    assert told[0] == ("state", {"state": "waiting"})
    assert [data["text"] for kind, data in told if kind == "text"] == ["a1"]
    assert told[-1][0] == "outcome"
    rows = [m async for m in Message.objects.for_tenant(ann.tenant).order_by("number")]
    assert [m.parent_number for m in rows] == [None, *range(1, 12)]
    listed = (await clients[1].get(f"/api/v1/conversations/{conversation}/messages")).json()["results"]
    assert [m["content"] for m in reversed(listed)] == [text.strip("[]") for text in past]
    for client in clients:
        await client.aclose()
