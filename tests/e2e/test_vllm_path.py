"""Real vLLM on the CPU through the whole path: REST, queue, a worker that the orchestrator starts, streamed tokens, record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.db.models import Max, Min

from agents.models import Task
from agents.services import create_agent
from opsite.demo.events import read_events
from orchestrator.models import Pool, ScalingDecision, ScalingPolicy, Worker
from tests.conftest import vllm_python
from tests.faces.conftest import Web

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(900),
    pytest.mark.parametrize("server", ["uvicorn"], indirect=True),
]

MODEL = Path(__file__).resolve().parents[2] / "models" / "opsite-verse"
TOKENS = 512  # long enough that what 32 requests need to arrive is a small part of it
TOGETHER = 32
BATCHED_AT_LEAST = 4.0


def vllm_pool(web: Web) -> str:
    """A pool of real vLLM, and an agent of Ann's in it."""
    pool = Pool.objects.create(
        slug=f"vllm-{web.scene.pool.slug}",
        name="Real vLLM",
        engine=Pool.Engine.VLLM,
        model=str(MODEL),
        engine_args={"dtype": "float32", "max_model_len": 1024, "enforce_eager": True},
        slots=TOGETHER,
        env={"OPSITE_WORKER_PYTHON": str(vllm_python()), "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"},
    )
    # All of them may wait: whether the worker claims at once is not the point.
    web.scene.ann.tenant.max_waiting = 2 * TOGETHER
    web.scene.ann.tenant.save()
    ScalingPolicy.objects.create(pool=pool, max_workers=1, waiting_per_worker=TOGETHER, idle_to_zero_s=3600)
    params = {"max_tokens": TOKENS, "ignore_eos": True, "temperature": 0.8}
    create_agent(tenant=web.scene.ann.tenant, slug="verse", name="Verse", pool=pool, params=params)
    return pool.slug


async def streamed(client: httpx.AsyncClient, number: int) -> str:
    """Submit one task and read its stream, which must be whole; returns the task's id."""
    body = {"agent": "verse", "input": f"Speak of the sea, and of the number {number}."}
    task = str((await client.post("/api/v1/tasks", json=body)).raise_for_status().json()["id"])
    numbers, tokens = [], 0
    async with client.stream("GET", f"/api/v1/tasks/{task}/events") as response:
        await response.aread()  # taken apart at the end: the engine needs the cores
        async for number, kind, data in read_events(response.aiter_lines()):
            numbers.append(number)
            if kind == "outcome":
                assert data["state"] == "succeeded", data
                tokens = data["usage"]["completion_tokens"]
    assert numbers == list(range(1, len(numbers) + 1))
    assert tokens == TOKENS
    return task


async def speed(web: Web, client: httpx.AsyncClient, count: int) -> float:
    """Tokens per second of `count` tasks at once, from their first token to their last outcome, by the record.

    Not by the client's clock: the engine takes all cores, so what reaches a client late by some 0.1 s says nothing of batching.
    """
    tasks = await asyncio.gather(*(streamed(client, number) for number in range(count)))
    rows = Task.objects.for_tenant(web.scene.ann.tenant).filter(pk__in=tasks)
    async with asyncio.timeout(60):
        while await rows.filter(finished_at=None).aexists():  # noqa: ASYNC110 - the recorder does it
            await asyncio.sleep(0.05)
    span = await rows.aaggregate(begun=Min("first_token_at"), ended=Max("finished_at"))
    return count * TOKENS / (span["ended"] - span["begun"]).total_seconds()


async def test_thirty_two_tasks_at_once_are_one_batch(
    web: Web, start: Callable[..., Any], record_property: Any
) -> None:
    slug = await sync_to_async(vllm_pool)(web)
    start("record")
    start("orchestrate")
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=web.url, headers=web.scene.ann.headers, timeout=300, limits=limits) as client:
        await streamed(client, 0)  # from zero: the orchestrator starts the worker because this task waits
        single, together = [], []
        for _ in range(3):
            single.append(await speed(web, client, 1))
            together.append(await speed(web, client, TOGETHER))
    ratios = sorted(t / s for s, t in zip(single, together, strict=True))
    report = f"vLLM, tokens/s alone {single}, {TOGETHER} at once {together}, ratios {ratios}"
    record_property("vllm_batching", report)
    print(report)
    assert ratios[1] >= BATCHED_AT_LEAST, report

    assert await Worker.objects.filter(pool__slug=slug).acount() == 1
    decision = await ScalingDecision.objects.filter(pool__slug=slug).aearliest("at")
    assert (decision.current, decision.desired) == (0, 1)
    states = {state async for state in Task.objects.for_tenant(web.scene.ann.tenant).values_list("state", flat=True)}
    assert states == {"succeeded"}
    assert await Task.objects.for_tenant(web.scene.ann.tenant).acount() == 1 + 3 * (TOGETHER + 1)
