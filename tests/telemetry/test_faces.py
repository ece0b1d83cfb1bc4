"""All faces continue a caller's trace, and a collector that is dead is nobody's trouble."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from collections.abc import Iterator

import pytest
import websockets

from agents.models import Task
from telemetry.context import Trace
from tests.faces.conftest import HandWorker, Web, worker
from tests.gpu_worker.conftest import until
from tests.telemetry.collector import Collector
from tests.telemetry.conftest import Watched

__all__ = ["worker"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(150)]


def caller(number: int, flags: str = "01") -> str:
    return f"00-{number:032x}-{number:016x}-{flags}"


async def trace_of(task: str) -> Trace | None:
    row = await Task.objects.across_tenants().aget(pk=task)
    return Trace.parse(row.trace)


async def submit(web: Web, **headers: str) -> str:
    async with web.client(web.scene.ann.headers) as client:
        answer = await client.post("/api/v1/tasks", json={"agent": "poet", "input": "hi"}, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def submit_by_websocket(web: Web, handshake: str, *said: dict[str, str]) -> list[str]:
    headers = {**web.scene.ann.headers, "traceparent": handshake}
    tasks = []
    async with websockets.connect(web.url.replace("http", "ws") + "/ws/v1/", additional_headers=headers) as connection:
        assert json.loads(await connection.recv())["type"] == "ready"
        for more in said:
            asked = {"type": "submit", "task": {"agent": "poet", "input": "hi"}, "follow": False, **more}
            await connection.send(json.dumps(asked))
            async with asyncio.timeout(30):
                tasks.append(json.loads(await connection.recv())["task"]["id"])
    return tasks


async def test_every_face_continues_the_callers_trace(
    watched: Watched, collector: Collector, worker: HandWorker
) -> None:
    web = watched.web()
    rest = await submit(web, traceparent=caller(1), tracestate="a=1")
    unsampled = await submit(web, traceparent=caller(2, "00"))
    bad = await submit(web, traceparent="00-zz", tracestate="a=1")
    own, shaken, wrong = await submit_by_websocket(
        web, caller(3), {"traceparent": caller(4)}, {}, {"traceparent": "nonsense"}
    )
    serving = asyncio.create_task(worker.serve(7, "hello"))
    async with web.client({**web.scene.ann.headers, "traceparent": caller(5)}) as client:
        chat = {"model": "poet", "messages": [{"role": "user", "content": "hi"}]}
        answer = await client.post("/v1/chat/completions", json=chat)
    assert answer.status_code == 200, answer.text
    await serving
    chatted = answer.json()["id"].removeprefix("chatcmpl-")
    watched.end()

    places = {name: await trace_of(task) for name, task in locals().items() if isinstance(task, str)}
    of = {span.id: span for span in collector.spans}

    def root(name: str) -> tuple[str, str, str]:
        place = places[name]
        assert place is not None
        span = of[place.span_id]
        return span.name, span.trace, span.parent

    def told(name: str, number: int) -> tuple[str, str, str]:
        return name, f"{number:032x}", f"{number:016x}"

    assert root("rest") == told("POST /api/v1/tasks", 1)
    assert places["rest"] is not None
    assert places["rest"].state == "a=1"
    assert places["unsampled"] is not None
    assert (places["unsampled"].trace_id, places["unsampled"].sampled) == (f"{2:032x}", False)
    assert not [span for span in collector.spans if span.trace == f"{2:032x}"]
    assert root("own") == told("websocket submit", 4)
    assert root("shaken") == told("websocket submit", 3)
    assert root("chatted") == told("POST /v1/chat/completions", 5)
    assert root("bad")[2] == root("wrong")[2] == ""
    assert places["bad"] is not None
    assert places["bad"].state == ""


@pytest.fixture
def silent() -> Iterator[str]:
    """A collector that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


async def test_a_dead_collector_costs_spans_and_nothing_else(watched: Watched, worker: HandWorker, silent: str) -> None:
    watched.env |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": silent,
        "OTEL_BSP_MAX_QUEUE_SIZE": "4",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2",
    }
    web, _ = watched.web(), watched.run("record")
    tasks, took = [], []
    for _ in range(12):
        began = time.monotonic()
        tasks.append(await submit(web))
        took.append(time.monotonic() - began)
    await worker.serve(len(tasks), "hello")

    async def recorded() -> bool:
        return await Task.objects.across_tenants().filter(pk__in=tasks, state="succeeded").acount() == len(tasks)

    await until(recorded)
    assert max(took) < 9, "an export waits for 10 s"
    watched.end()
    assert {process.returncode for process in watched.processes.values()} <= {0, -signal.SIGTERM}
