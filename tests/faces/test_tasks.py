"""REST of tasks on a real web process: accepted, streamed, resumed, cancelled, refused."""

from __future__ import annotations

import asyncio
import json
import subprocess
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async

from agents.models import AnswerLength, Message, Task, Turn
from opsite.demo.events import read_events
from taskqueue import connections
from tenants import services
from tenants.models import ApiKey
from tests.faces.conftest import HandWorker, Web, await_ready, free_port
from tests.scene import Scene

pytestmark = pytest.mark.timeout(90)
only_daphne = pytest.mark.parametrize("server", ["daphne"], indirect=True)
ASK: dict[str, Any] = {"agent": "poet", "input": "Hello"}


def events_of(text: str) -> list[tuple[int, str, Any]]:
    """Server-sent events as (id, event, data)."""
    events = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and not line.startswith(":"))
        if "id" in fields:
            events.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return events


async def test_a_task_from_submission_to_outcome(web: Web, worker: HandWorker) -> None:
    async with web.client(web.scene.ann.headers) as client:
        answer = await client.post(
            "/api/v1/tasks", json={**ASK, "metadata": {"a": 1}, "parameters": {"temperature": 0}}
        )
        assert answer.status_code == 202
        task = answer.json()
        assert answer.headers["location"] == f"/api/v1/tasks/{task['id']}"
        assert (task["state"], task["agent"], task["metadata"]) == ("queued", "poet", {"a": 1})

        (turn,) = await worker.claim()
        assert [(m.role, m.content) for m in turn.body.messages] == [("user", "Hello")]
        assert (turn.body.params.temperature, turn.body.params.max_tokens) == (0, 8)  # the task's over the agent's
        await worker.say(turn, "One ", 'two "and" ', "three")
        await worker.end(turn, 'One two "and" three')

        stream = await client.get(f"/api/v1/tasks/{task['id']}/events")
        assert stream.headers["content-type"].startswith("text/event-stream")
        events = events_of(stream.text)
        assert [number for number, _, _ in events] == list(range(1, 7))
        assert "".join(data["text"] for _, kind, data in events if kind == "text") == 'One two "and" three'
        assert events[-1][1:] == (
            "outcome",
            {"state": "succeeded", "finish_reason": "stop", "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
        )
        for after in range(7):  # a cursor anywhere continues exactly there
            again = await client.get(f"/api/v1/tasks/{task['id']}/events", headers={"Last-Event-ID": str(after)})
            assert events_of(again.text) == events[after:]


@only_daphne
async def test_a_live_stream_on_two_connections(web: Web, worker: HandWorker) -> None:
    async with web.client(web.scene.ann.headers) as client:
        task = (await client.post("/api/v1/tasks", json=ASK)).json()["id"]
        (turn,) = await worker.claim()
        await worker.say(turn, "a", "b")

        seen: list[tuple[int, str, Any]] = []
        async with client.stream("GET", f"/api/v1/tasks/{task}/events") as response:
            async for event in read_events(response.aiter_lines()):
                seen.append(event)
                if len(seen) == 4:  # queued, running, a, b: then the connection is cut
                    break
        await worker.say(turn, "c")
        rest = asyncio.create_task(client.get(f"/api/v1/tasks/{task}/events", headers={"Last-Event-ID": "4"}))
        await worker.say(turn, "d")
        await worker.end(turn, "abcd")
        seen += events_of((await rest).text)
    assert [number for number, _, _ in seen] == list(range(1, 8))
    assert "".join(data["text"] for _, kind, data in seen if kind == "text") == "abcd"


@only_daphne
async def test_a_conversation_is_the_context(web: Web, worker: HandWorker, start: Callable[..., Any]) -> None:
    start("record")
    conversation = await sync_to_async(web.scene.ann.conversation)()
    ask = {**ASK, "conversation": str(conversation.pk)}
    async with web.client(web.scene.ann.headers) as client:
        for text in ("first", "second"):
            task = (await client.post("/api/v1/tasks", json={**ask, "input": f"my {text}"})).json()["id"]
            (turn,) = await worker.claim()
            await worker.say(turn, f"your {text}")
            await worker.end(turn, f"your {text}")
            await _recorded(client, task)
        assert [(m.role, m.content) for m in turn.body.messages] == [
            ("user", "my first"), ("assistant", "your first"), ("user", "my second"),
        ]  # fmt: skip
    rows = [(m.number, m.role, m.content) async for m in Message.objects.for_tenant(web.scene.ann.tenant)]
    assert rows == [
        (1, "user", "my first"), (2, "assistant", "your first"), (3, "user", "my second"), (4, "assistant", "your second"),
    ]  # fmt: skip


@only_daphne
async def test_a_late_reader_gets_the_recorded_outcome(
    web: Web, worker: HandWorker, start: Callable[..., Any], redis_url: str
) -> None:
    start("record")
    async with web.client(web.scene.ann.headers) as client:
        task = (await client.post("/api/v1/tasks", json=ASK)).json()["id"]
        await worker.serve(1, "kept")
        await _recorded(client, task)
        await worker.queue._link.ask("DEL", f"opsite:{{{web.scene.pool.slug}}}:log:{task}")
        events = events_of((await client.get(f"/api/v1/tasks/{task}/events")).text)
        assert [kind for _, kind, _ in events] == ["text", "outcome"]
        assert events[0][2] == {"text": "kept"}
        # Who has read some of the log that is gone cannot go on in it, and is given all of the text anew.
        later = await client.get(f"/api/v1/tasks/{task}/events", headers={"Last-Event-ID": "3"})
        assert [(kind, data.get("text")) for _, kind, data in events_of(later.text)[:2]] == [
            ("restart", None),
            ("text", "kept"),
        ]
        cursor = str(events_of(later.text)[1][0])
        last = await client.get(f"/api/v1/tasks/{task}/events", headers={"Last-Event-ID": cursor})
        assert [kind for _, kind, _ in events_of(last.text)] == ["outcome"]


async def _recorded(client: httpx.AsyncClient, task: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            row: dict[str, Any] = (await client.get(f"/api/v1/tasks/{task}")).json()
            if row["finished_at"]:
                return row
            await asyncio.sleep(0.02)


@only_daphne
async def test_cancel_waiting_and_running(web: Web, worker: HandWorker, start: Callable[..., Any]) -> None:
    start("record")
    async with web.client(web.scene.ann.headers) as client:
        waiting = (await client.post("/api/v1/tasks", json=ASK)).json()["id"]
        assert (await client.delete(f"/api/v1/tasks/{waiting}")).status_code == 202
        assert (await _recorded(client, waiting))["state"] == "cancelled"
        running = (await client.post("/api/v1/tasks", json=ASK)).json()["id"]
        (turn,) = await worker.claim()
        assert (await client.post(f"/api/v1/tasks/{running}/cancel")).status_code == 202
        delta = await worker.queue.emit("hand", [])
        assert [(stop.turn, stop.reason) for stop in delta] == [(turn.turn, "cancelled")]
        unknown = await sync_to_async(web.scene.ann.task)()  # committed, but never enqueued
        assert (await client.delete(f"/api/v1/tasks/{unknown.pk}")).json()["state"] == "cancelled"


@only_daphne
async def test_cancelling_what_has_ended_leaves_its_outcome_alone(web: Web, worker: HandWorker) -> None:
    """Ended in the queue, and not recorded yet: the stream has said how."""
    async with web.client(web.scene.ann.headers) as client:
        task = (await client.post("/api/v1/tasks", json=ASK)).json()["id"]
        await worker.serve(1, "done")
        assert (await client.delete(f"/api/v1/tasks/{task}")).json()["state"] == "queued"
    assert [record.state for record in await worker.queue.read_records() if record.state] == ["succeeded"]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"input": "x"}, "agent"),
    ({"agent": "nobody", "input": "x"}, "agent"),
    ({"agent": "poet"}, "input"),
    ({"agent": "poet", "input": "x", "messages": [{"role": "user", "content": "y"}]}, "input"),
    ({"agent": "poet", "messages": [{"role": "robot", "content": "y"}]}, "messages[0].role"),
    ({**ASK, "priority": "high"}, "priority"),
    ({**ASK, "priority": 10}, "priority"),
    ({**ASK, "deadline_s": -1}, "deadline_s"),
    ({**ASK, "deadline_at": "2020-01-01T00:00:00Z"}, "deadline_at"),
    ({**ASK, "deadline_at": "2090-01-01T00:00:00"}, "deadline_at"),
    ({**ASK, "parameters": {"temprature": 1}}, "parameters.temprature"),
    ({**ASK, "parameters": {"temperature": 3}}, "parameters.temperature"),
    ({**ASK, "parameters": {"max_tokens": "many"}}, "parameters.max_tokens"),
    ({**ASK, "parameters": {"stop": ["x"] * 17}}, "parameters.stop"),
    ({**ASK, "parameters": {"stop": 5}}, "parameters.stop"),
    ({**ASK, "parameters": {"stop": [""]}}, "parameters.stop"),
    ({"agent": "a\x00", "input": "x"}, "agent"),
    ({**ASK, "input": "a\x00b"}, "input"),
    ({**ASK, "metadata": {"a": [{"b": "\x00"}]}}, "metadata.a[0].b"),
    ({**ASK, "conversation": "no-uuid"}, "conversation"),
    ({**ASK, "conversation": str(uuid.uuid4())}, "conversation"),
    ({**ASK, "colour": "red"}, "colour"),
    ({**ASK, "idempotency_key": ""}, "idempotency_key"),
]


@only_daphne
async def test_refusals_name_what_to_change(web: Web) -> None:
    async with web.client(web.scene.ann.headers) as client:
        for body, field in REFUSED:
            answer = await client.post("/api/v1/tasks", json=body)
            assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json"), body
            assert [error["field"] for error in answer.json()["errors"]] == [field], body
        broken = await client.post("/api/v1/tasks", content=b'{"agent": ')
        assert (broken.status_code, broken.json()["code"]) == (400, "invalid_json")
        deep = await client.post("/api/v1/tasks", content=b'{"metadata": ' + b'{"a":' * 9000)
        assert (deep.status_code, deep.json()["code"]) == (400, "invalid_json")
        large = await client.post("/api/v1/tasks", json={**ASK, "input": "x" * (1 << 20)})
        assert (large.status_code, large.json()["code"]) == (413, "too_large")
        assert (await client.get(f"/api/v1/tasks/{uuid.uuid4()}")).status_code == 404
        for cursor in ("x", "-1", "1.5", "9" * 16, "9" * 5000):
            bad = await client.get("/api/v1/tasks/x/events", headers={"Last-Event-ID": cursor})
            assert (bad.status_code, bad.json()["errors"][0]["field"]) == (400, "Last-Event-ID")
            bad = await client.get("/api/v1/tasks/x/events", params={"after": cursor})
            assert (bad.status_code, bad.json()["errors"][0]["field"]) == (400, "after")
    assert await Task.objects.across_tenants().acount() == 0


@only_daphne
async def test_keys(web: Web) -> None:
    tasks = "/api/v1/tasks"
    async with web.client() as client:
        for headers in ({}, {"Authorization": "Bearer ops_wrong"}, {"Authorization": "Basic x"}):
            answer = await client.post(tasks, json=ASK, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "invalid_api_key")
            assert answer.headers["www-authenticate"].startswith("Bearer")
        reader = await sync_to_async(services.issue_key)(tenant=web.scene.ann.tenant, name="r", scopes=["tasks:read"])
        answer = await client.post(tasks, json=ASK, headers={"Authorization": f"Bearer {reader.secret}"})
        assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")

        headers = web.scene.ann.headers
        assert (await client.post(tasks, json=ASK, headers=headers)).status_code == 202
        key = await ApiKey.objects.for_tenant(web.scene.ann.tenant).aget(name="test")
        await sync_to_async(services.revoke_key)(key=key)
        loop = asyncio.get_running_loop()
        revoked_at = loop.time()
        while (await client.get(f"{tasks}/x", headers=headers)).status_code != 401:
            assert loop.time() - revoked_at < 1.5, "a revoked key is refused within a second"


@only_daphne
async def test_another_tenant_s_task_does_not_exist(web: Web) -> None:
    async with web.client() as client:
        ann, bob = web.scene.ann.headers, web.scene.bob.headers
        task = (await client.post("/api/v1/tasks", json=ASK, headers=ann)).json()["id"]
        conversation = await sync_to_async(web.scene.ann.conversation)()
        for method, path in [
            ("GET", f"/api/v1/tasks/{task}"),
            ("DELETE", f"/api/v1/tasks/{task}"),
            ("POST", f"/api/v1/tasks/{task}/cancel"),
            ("GET", f"/api/v1/tasks/{task}/events"),
        ]:
            answer = await client.request(method, path, headers=bob)
            nobody = await client.request(method, path.replace(task, str(uuid.uuid4())), headers=bob)
            assert answer.status_code == nobody.status_code == 404
            assert answer.json() == nobody.json()
        theirs = await client.post("/api/v1/tasks", json={**ASK, "conversation": str(conversation.pk)}, headers=bob)
        assert theirs.status_code == 400
        assert (await client.get(f"/api/v1/tasks/{task}", headers=ann)).json()["state"] == "queued"


@only_daphne
async def test_fifty_equal_requests_are_one_task(web: Web, live_scene: Scene) -> None:
    headers = {**live_scene.ann.headers, "Idempotency-Key": "same"}
    async with web.client(headers) as client:
        answers = await asyncio.gather(*(client.post("/api/v1/tasks", json=ASK) for _ in range(50)))
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.json()["id"] for answer in answers}) == 1
        other = await client.post("/api/v1/tasks", json={**ASK, "input": "other"})
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        theirs = await client.post("/api/v1/tasks", json=ASK, headers={**live_scene.bob.headers})
        assert theirs.json()["id"] != answers[0].json()["id"]  # the key is the tenant's own
    assert await Task.objects.for_tenant(live_scene.ann.tenant).acount() == 1
    assert await Turn.objects.for_tenant(live_scene.ann.tenant).acount() == 1


@only_daphne
async def test_a_tenant_s_limit_is_429_and_leaves_nothing(web: Web, worker: HandWorker) -> None:
    async with web.client() as client:
        ask = [client.post("/api/v1/tasks", json=ASK, headers=web.scene.ann.headers) for _ in range(60)]
        answers = await asyncio.gather(*ask)
        statuses = [answer.status_code for answer in answers]
        assert (statuses.count(202), statuses.count(429)) == (20, 40)
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert (refused.headers["retry-after"], refused.json()["code"]) == ("1", "too_many_waiting")
        other = await client.post("/api/v1/tasks", json=ASK, headers=web.scene.bob.headers)
        assert other.status_code == 202  # one tenant's flood is not another's refusal
    assert await Task.objects.for_tenant(web.scene.ann.tenant).acount() == 20
    assert len(await worker.claim(21)) == 21


@only_daphne
async def test_a_redis_that_is_full_is_503_and_not_ready(web: Web, redis_url: str) -> None:
    redis = connections.connect(redis_url)
    async with web.client(web.scene.ann.headers) as client:
        redis.config_set("maxmemory", 1)
        try:
            ready = await client.get("/readyz")
            answer = await client.post("/api/v1/tasks", json=ASK)
        finally:
            redis.config_set("maxmemory", 0)
            redis.close()
        assert (ready.status_code, ready.json()["redis"]) == (503, "does not answer")
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert (await client.get("/readyz")).status_code == 200
    assert await Task.objects.for_tenant(web.scene.ann.tenant).acount() == 0


async def test_a_redis_that_is_away_is_503(
    live_scene: Scene, start: Callable[..., subprocess.Popen[bytes]], tmp_path: Any
) -> None:
    port = free_port()
    process = start("serve", "--port", str(port), REDIS_URL=f"unix://{tmp_path}/none.sock")
    url = f"http://127.0.0.1:{port}"
    await_ready(url, process, status=503)
    async with httpx.AsyncClient(base_url=url, headers=live_scene.ann.headers, timeout=30) as client:
        ready = (await client.get("/readyz")).json()
        assert (ready["postgres"], ready["redis"]) == ("ok", "does not answer")
        assert (await client.get("/livez")).status_code == 200
        answer = await client.post("/api/v1/tasks", json=ASK)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert await Task.objects.for_tenant(live_scene.ann.tenant).acount() == 0  # not accepted, so not there


@only_daphne
async def test_the_queue_expects_what_answers_were_and_budgets_reserve_what_they_may_be(
    web: Web, worker: HandWorker
) -> None:
    ann = web.scene.ann
    await AnswerLength.objects.acreate(tenant=ann.tenant, agent=ann.agent, tokens=30.5, answers=9)
    async with web.client(ann.headers) as client:
        answer = await client.post("/api/v1/tasks", json={**ASK, "parameters": {"max_tokens": 1000}})
    task = await Task.objects.for_tenant(ann.tenant).aget(pk=answer.json()["id"])
    assert task.estimated_tokens == 1 + 500 + 1
    assert (await worker.queue.signals()).waiting_tokens == 1 + 31 + 1
