"""An agent with tools, from its task to its outcome, whoever is killed on the way."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from redis import Redis

from agents.faces.requests import convert
from agents.models import Task, ToolCall, Turn
from agents.tools.results import UNKNOWN
from console.playground.asked import Run
from console.playground.runs import submit_sides
from opsite.demo.events import read_events
from orchestrator.models import Pool, ScalingPolicy
from tests.gpu_worker.conftest import until
from tests.runner.conftest import Stage, ToolServer, agent, call, http_tool, mcp_tool

pytestmark = pytest.mark.django_db(transaction=True)


async def submit(stage: Stage, slug: str = "actor", text: str = "Go.", **more: Any) -> str:
    async with stage.web.client(stage.scene.ann.headers) as client:
        answer = await client.post("/api/v1/tasks", json={"agent": slug, "input": text, **more})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])


async def events_of(stage: Stage, task: str) -> list[tuple[int, str, Any]]:
    async with (
        stage.web.client(stage.scene.ann.headers) as client,
        client.stream("GET", f"/api/v1/tasks/{task}/events") as response,
    ):
        return [(number, kind, data) async for number, kind, data in read_events(response.aiter_lines())]


def kinds(events: list[tuple[int, str, Any]]) -> list[str]:
    """What happened, texts left out."""
    return [data.get("state", kind) if kind == "state" else kind for _, kind, data in events if kind != "text"]


async def test_three_calls_with_the_worker_killed_between_each_turn(
    stage: Stage, tool_server: ToolServer, mcp_server: tuple[str, Path]
) -> None:
    url, log = mcp_server
    script = (
        "I double. " + call("double", n=1),
        call("box_triple", n=2),
        call("double", n=3),
        "Done: {last}",
    )
    await sync_to_async(http_tool)(stage.scene, tool_server.url)
    await sync_to_async(mcp_tool)(stage.scene, url)
    await sync_to_async(agent)(stage.scene, {"tool": "double"}, {"tool": "box_triple"})
    stage.effects()
    worker = stage.worker(*script)
    task = await submit(stage)
    for _ in range(2):  # each HTTP call is held until the worker of the turn before is dead
        await sync_to_async(tool_server.await_call)()
        worker.signal(signal.SIGKILL)
        worker.wait()
        worker = stage.worker(*script)
        tool_server.let()
    events = await events_of(stage, task)
    assert kinds(events) == [
        "queued", "running", "tool_calls", "waiting", "tool_result",
        "queued", "running", "tool_calls", "waiting", "tool_result",
        "queued", "running", "tool_calls", "waiting", "tool_result",
        "queued", "running", "outcome",
    ]  # fmt: skip
    assert [number for number, _, _ in events] == list(range(1, len(events) + 1))
    text = "".join(data["text"] for _, kind, data in events if kind == "text")
    assert text == "I double. Done: http says 6"
    assert [one["n"] for one in tool_server.calls] == [1, 3]
    assert log.read_text().split() == ["2"]
    await recorded(stage, task)
    row = await Task.objects.for_tenant(stage.scene.ann.tenant).aget(pk=task)
    turns = [one async for one in Turn.objects.for_tenant(row.tenant_id).filter(task=row).order_by("number")]
    assert (row.state, row.output, len(turns)) == ("succeeded", "Done: http says 6", 4)
    assert (row.prompt_tokens, row.completion_tokens) == (
        sum(turn.prompt_tokens for turn in turns),
        sum(turn.completion_tokens for turn in turns),
    )
    calls = [one async for one in ToolCall.objects.for_tenant(row.tenant_id).filter(task=row).order_by("created_at")]
    assert [(one.name, one.state, one.attempts, one.result) for one in calls] == [
        ("double", "succeeded", 1, "http says 2"),
        ("box_triple", "succeeded", 1, "mcp says 6"),
        ("double", "succeeded", 1, "http says 6"),
    ]


async def row_of(stage: Stage, task: str) -> dict[str, Any]:
    async with stage.web.client(stage.scene.ann.headers) as client:
        answer = await client.get(f"/api/v1/tasks/{task}")
        assert answer.status_code == 200
        found: dict[str, Any] = answer.json()
        return found


async def recorded(stage: Stage, task: str) -> dict[str, Any]:
    """As it stands in Postgres when it has ended."""

    async def ended() -> bool:
        return (await row_of(stage, task))["finished_at"] is not None

    await until(ended)
    return await row_of(stage, task)


async def waiting(stage: Stage, task: str) -> None:
    """Until Postgres says that it waits."""

    async def waits() -> bool:
        row = await row_of(stage, task)
        assert row["finished_at"] is None
        return bool(row["state"] == "waiting")

    await until(waits)


def told(events: list[tuple[int, str, Any]]) -> list[str]:
    return [data["result"] for _, kind, data in events if kind == "tool_result"]


@pytest.mark.parametrize("is_idempotent", [False, True])
async def test_a_call_that_may_have_happened_is_repeated_only_where_the_tool_says_so(
    stage: Stage, tool_server: ToolServer, is_idempotent: bool
) -> None:
    await sync_to_async(http_tool)(stage.scene, tool_server.url, is_idempotent=is_idempotent)
    await sync_to_async(agent)(stage.scene, {"tool": "double"})
    effects = stage.effects()
    stage.worker(call("double", n=4), "Done: {last}")
    task = await submit(stage)
    await sync_to_async(tool_server.await_call)()
    effects.kill()
    effects.wait()
    stage.effects()
    for _ in range(2):
        tool_server.let()
    events = await events_of(stage, task)
    assert events[-1][2]["state"] == "succeeded"
    assert len(tool_server.calls) == (2 if is_idempotent else 1)
    assert told(events) == ["http says 8" if is_idempotent else UNKNOWN]


async def test_the_web_process_and_the_recorder_are_killed_in_the_middle(stage: Stage, tool_server: ToolServer) -> None:
    await sync_to_async(http_tool)(stage.scene, tool_server.url)
    await sync_to_async(agent)(stage.scene, {"tool": "double"})
    stage.effects()
    stage.worker(call("double", n=4), "Done: {last}")
    task = await submit(stage)
    await sync_to_async(tool_server.await_call)()
    stage.web.process.kill()
    stage.recorder.kill()
    tool_server.let()
    await sync_to_async(stage.serve_again)()
    events = await events_of(stage, task)
    assert (events[-1][2]["state"], len(tool_server.calls)) == ("succeeded", 1)
    assert (await recorded(stage, task))["output"] == "Done: http says 8"


async def test_what_agents_do_on_one_fleet(stage: Stage, tool_server: ToolServer, database_url: str) -> None:
    """All at once: calls beside each other, a limit, a person, a cancellation, work handed over, documents searched."""
    scene, builtin = stage.scene, {"builtin": "calculator"}
    await sync_to_async(http_tool)(scene, tool_server.url)
    await sync_to_async(agent)(scene, {"tool": "double"}, builtin, slug="both")
    await sync_to_async(agent)(scene, builtin, limits={"max_turns": 2}, slug="endless")
    await sync_to_async(agent)(scene, {"builtin": "ask_human"}, slug="asker")
    await sync_to_async(agent)(scene, {"builtin": "hand_off", "agents": ["poet", "asker"]}, slug="boss")
    stage.effects()
    many = [
        call("double", n=1),
        call("double", n=2),
        call("calculator", expression="2**10"),
        call("nobody"),
        call("double"),
    ]
    stage.worker(
        "A poem.",
        Both=["".join(many), "Done."],
        Endless=[call("calculator", expression="1+1")],
        Ask=[call("ask_human", question="Which colour?"), "Done: {last}"],
        Poem=[call("hand_off", agent="poet", message="Sing."), "Done: {last}"],
        Look=[call("knowledge_search", collection="handbook", query="When is tea?"), "Done: {last}"],
        Delegate=[call("hand_off", agent="asker", message="Ask"), "Done: {last}"],
    )
    await asyncio.gather(
        _beside(stage, tool_server),
        _limited(stage),
        _answered(stage),
        _cancelled(stage),
        _handed_over(stage),
        _handed_over_by_staff(stage, database_url),
        _child(stage),
        _searched(stage),
        _left(stage),
    )


async def _beside(stage: Stage, tool_server: ToolServer) -> None:
    task = await submit(stage, "both", "Both")
    for _ in range(2):  # both are under way before either is answered
        await sync_to_async(tool_server.await_call, thread_sensitive=False)()
    for _ in range(2):
        tool_server.let()
    await events_of(stage, task)
    calls = [one async for one in ToolCall.objects.for_tenant(stage.scene.ann.tenant).filter(task=task)]
    assert [(one.state, one.result) for one in calls] == [
        ("succeeded", "http says 2"),
        ("succeeded", "http says 4"),
        ("succeeded", "1024"),
        ("failed", "There is no tool 'nobody'; there are double, calculator."),
        ("failed", "arguments: 'n' is a required property"),
    ]


async def _limited(stage: Stage) -> None:
    task = await submit(stage, "endless", "Endless")
    events = await events_of(stage, task)
    assert (events[-1][1], events[-1][2]["error"]["code"]) == ("outcome", "turn_limit")
    assert (await recorded(stage, task))["state"] == "failed"
    assert await ToolCall.objects.for_tenant(stage.scene.ann.tenant).filter(task=task).acount() == 2


async def _cancelled(stage: Stage) -> None:
    task = await submit(stage, "asker", "Ask")
    await waiting(stage, task)
    async with stage.web.client(stage.scene.ann.headers) as client:
        assert (await client.delete(f"/api/v1/tasks/{task}")).status_code == 202
    assert (await events_of(stage, task))[-1][2]["state"] == "cancelled"
    assert (await recorded(stage, task))["state"] == "cancelled"


async def _answered(stage: Stage) -> None:
    task = await submit(stage, "asker", "Ask")
    await waiting(stage, task)
    await answer(stage, task, "Blue")
    assert told(await events_of(stage, task)) == ["Blue"]
    assert (await recorded(stage, task))["output"] == "Done: Blue"


async def answer(stage: Stage, task: str, text: str) -> None:
    await answer_of(stage, task, "ask_human", text)


async def answer_of(stage: Stage, task: str, name: str, text: str) -> None:
    asked = await ToolCall.objects.for_tenant(stage.scene.ann.tenant).aget(task=task, name=name)
    path, body = f"/api/v1/tasks/{task}/answers", {"call": asked.call_id, "answer": text}
    async with stage.web.client(stage.scene.ann.headers) as client, stage.web.client(stage.scene.bob.headers) as other:
        assert (await other.post(path, json=body)).status_code == 404

        async def said() -> bool:  # the question may just be on its way to whoever asks
            return (await client.post(path, json=body)).status_code == 202

        await until(said)
        assert (await client.post(path, json=body)).status_code == 409


async def _handed_over(stage: Stage) -> None:
    task = await submit(stage, "boss", "Poem")
    events = await events_of(stage, task)
    child = await Task.objects.for_tenant(stage.scene.ann.tenant).select_related("agent").aget(parent_call__task=task)
    assert (child.agent.slug, child.state, told(events)) == ("poet", "succeeded", ["A poem."[: len(child.output)]])
    assert (await recorded(stage, task))["output"] == f"Done: {child.output}"


async def _handed_over_by_staff(stage: Stage, database_url: str) -> None:
    """What staff run from the console has no key; it goes on in the tenant's name, and so does what it hands over."""
    said = {"agent": "boss", "messages": [{"role": "user", "content": "Poem"}]}
    run = convert({"tenant": stage.scene.ann.tenant.slug, "run": "by-staff", "sides": [said]}, Run)
    asked = {"tenant": stage.scene.ann.tenant.pk, "member": "otto"}
    (side,) = await submit_sides(run, **asked, database_url=database_url, redis_url=stage.redis_url)
    await recorded(stage, side["task"])
    child = await Task.objects.for_tenant(stage.scene.ann.tenant).aget(parent_call__task=side["task"])
    assert (child.submitted_by, child.api_key_id, child.state) == ("otto", None, "succeeded")


async def _left(stage: Stage) -> None:
    """A client that leaves between two turns ends the task that was to end with it."""
    body = {
        "model": "asker",
        "messages": [{"role": "user", "content": "Ask"}],
        "stream": True,
        "cancel_on_disconnect": True,
    }
    async with stage.web.client(stage.scene.ann.headers) as client:
        async with client.stream("POST", "/v1/chat/completions", json=body) as response:
            task = response.headers["x-request-id"]
            await waiting(stage, task)
        assert (await recorded(stage, task))["state"] == "cancelled"


async def _searched(stage: Stage) -> None:
    pool = await Pool.objects.acreate(slug=f"{stage.scene.pool.slug}-e", name="Vectors", engine=Pool.Engine.SIMULATED)
    await ScalingPolicy.objects.acreate(pool=pool)
    stage.embedder(pool.slug)
    await sync_to_async(agent)(
        stage.scene, {"builtin": "knowledge_search", "collections": ["handbook"]}, slug="librarian"
    )
    async with stage.web.client(stage.scene.ann.headers) as client:
        made = await client.post("/api/v1/collections", json={"slug": "handbook", "pool": pool.slug})
        assert made.status_code == 201, made.text
        document = {"title": "Tea", "text": "Tea is at four."}
        put = await client.post("/api/v1/collections/handbook/documents", json=document)
        assert put.status_code == 201, put.text

        async def ingested() -> bool:
            rows = (await client.get("/api/v1/collections/handbook/documents")).json()["results"]
            return [row["state"] for row in rows] == ["ready"]

        await until(ingested)
    task = await submit(stage, "librarian", "Look")
    assert told(await events_of(stage, task)) == ["[1] Tea\nTea is at four."]


async def _child(stage: Stage) -> None:
    """A task that handed over and is cancelled takes what it handed over with it."""
    task = await submit(stage, "boss", "Delegate")
    await waiting(stage, task)
    children = Task.objects.for_tenant(stage.scene.ann.tenant).filter(parent_call__task=task)
    await until(children.aexists)
    child = await children.aget()
    await waiting(stage, str(child.pk))
    async with stage.web.client(stage.scene.ann.headers) as client:
        assert (await client.delete(f"/api/v1/tasks/{task}")).status_code == 202
    assert (await recorded(stage, str(child.pk)))["state"] == "cancelled"


async def test_a_redis_that_forgets_all_between_turns_costs_nothing(
    stage: Stage, tool_server: ToolServer, redis: Redis
) -> None:
    await sync_to_async(http_tool)(stage.scene, tool_server.url)
    await sync_to_async(agent)(stage.scene, {"tool": "double"})
    stage.effects()
    stage.worker(call("double", n=4), "Done: {last}")
    task = await submit(stage)
    await sync_to_async(tool_server.await_call)()
    redis.delete(*redis.keys(f"opsite:{{{stage.scene.pool.slug}}}:*"))
    tool_server.let()
    row = await recorded(stage, task)
    assert (row["state"], row["output"], len(tool_server.calls)) == ("succeeded", "Done: http says 8", 1)
