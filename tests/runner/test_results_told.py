"""What a call brought, and what a task waits for, is told once: in its stream and to webhooks, whoever is killed in between."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async
from redis import Redis

from agents.models import ToolCall
from tests.gpu_worker.conftest import until
from tests.runner.conftest import Stage, ToolServer, agent, call, http_tool
from tests.runner.test_agent_loop import answer_of, events_of, kinds, submit, told
from webhooks.models import Delivery
from webhooks.services import create_endpoint

pytestmark = pytest.mark.django_db(transaction=True)


async def state_of(name: str) -> str | None:
    call = await ToolCall.objects.across_tenants().filter(name=name).afirst()
    return call and call.state


async def test_a_result_is_told_though_its_process_is_killed_before_it_told_it(
    stage: Stage, tool_server: ToolServer, redis_url: str
) -> None:
    scene, tenant = stage.scene, stage.scene.ann.tenant
    await sync_to_async(create_endpoint)(tenant=tenant, url="https://hooks.example/", event_types=["task.waiting"])
    await sync_to_async(create_endpoint)(tenant=scene.bob.tenant, url="https://hooks.example/")
    await sync_to_async(http_tool)(scene, tool_server.url)
    await sync_to_async(agent)(scene, {"tool": "double"}, {"builtin": "ask_human"})
    effects = stage.effects()
    stage.worker(call("double", n=1), call("ask_human", question="Which colour?"), "Done: {last}")
    task = await submit(stage, metadata={"order": "7"})
    await sync_to_async(tool_server.await_call)()

    async def written() -> bool:
        return await state_of("double") == "succeeded"

    async def asked() -> bool:
        return await state_of("ask_human") == "waiting"

    with Redis.from_url(redis_url) as redis:
        redis.execute_command("CLIENT PAUSE 60000 WRITE")  # the result is kept, and cannot be told
        tool_server.let()
        await until(written)
        effects.kill()
        effects.wait()
        redis.execute_command("CLIENT UNPAUSE")
    stage.effects()
    await until(asked)
    await answer_of(stage, task, "ask_human", "Blue")
    events = await events_of(stage, task)
    assert told(events) == ["http says 2", "Blue"]
    assert kinds(events) == [
        "queued", "running", "tool_calls", "waiting", "tool_result",
        "queued", "running", "tool_calls", "waiting", "tool_result",
        "queued", "running", "outcome",
    ]  # fmt: skip
    rows = [row async for row in Delivery.objects.across_tenants().filter(type="task.waiting").order_by("created_at")]
    found = [row.payload["data"] for row in rows]
    calls = {row.name: row.call_id async for row in ToolCall.objects.across_tenants()}
    assert [(one["waits_for"], one["calls"]) for one in found] == [
        ("tools", [{"id": calls["double"], "name": "double"}]),
        ("person", [{"id": calls["ask_human"], "name": "ask_human"}]),
    ]
    assert {(row.tenant_id, row.payload["data"]["id"], row.payload["data"]["state"]) for row in rows} == {
        (tenant.pk, task, "waiting")
    }
    assert found[0]["metadata"] == {"order": "7"}
    assert "colour" not in str(found)
