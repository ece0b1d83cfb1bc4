"""One task, one trace: exported to a collector by real processes that are killed, and held against the task's rows."""

from __future__ import annotations

import json
import signal
from datetime import datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from agents.models import Task, Tool, ToolCall, Turn
from agents.services import create_agent
from outbound.policy import Policy
from taskqueue.async_client import AsyncQueue
from tests.gpu_worker.conftest import until
from tests.telemetry.collector import Collector
from tests.telemetry.conftest import Outside, Watched
from webhooks.services import create_endpoint

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(170)]

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
QUESTION, ANSWER = "a question that nobody exports", "an answer that nobody exports, and it is long enough to be cut"
CALL = '<tool_call>{"name": "look", "arguments": {"n": 1}}</tool_call>'
MS = 1_000_000
EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def ns(moment: datetime | None) -> int:
    assert moment is not None
    return (moment - EPOCH) // timedelta(microseconds=1) * 1000


def near(at_ns: int, moment: datetime | None) -> bool:
    """Within a millisecond."""
    return abs(at_ns - ns(moment)) <= MS


def prepare(watched: Watched, outside: Outside, settings: Any) -> None:
    settings.OPSITE_OUTBOUND_POLICY = Policy.parse("127.0.0.1/32")
    ann = watched.scene.ann.tenant
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    Tool.objects.create(tenant=ann, name="look", kind="http", parameters=schema, request={"url": f"{outside.url}/tool"})
    create_agent(
        tenant=ann,
        slug="actor",
        name="Actor",
        pool=watched.scene.pool,
        tools=[{"tool": "look"}],
        params={"max_tokens": 400},
    )
    create_endpoint(tenant=ann, url=f"{outside.url}/hook", event_types=["task.succeeded"])


async def streamed(queue: AsyncQueue, task: str) -> str:
    events = await queue.read_log(task, count=1000)
    return "".join(json.loads(event.data) for event in events if event.kind == "text")


async def test_a_task_is_one_trace_whoever_is_killed(
    watched: Watched, collector: Collector, outside: Outside, queue_of_scene: AsyncQueue, settings: Any
) -> None:
    await sync_to_async(prepare)(watched, outside, settings)
    tenant = watched.scene.ann.tenant
    web, recorder = watched.web(), watched.run("record")
    watched.run("effects")
    first = watched.worker(CALL, ANSWER)
    async with web.client(watched.scene.ann.headers) as client:
        answer = await client.post(
            "/api/v1/tasks",
            json={"agent": "actor", "input": QUESTION},
            headers={"traceparent": CALLER, "tracestate": "vendor=opaque"},
        )
    assert answer.status_code == 202, answer.text
    task = answer.json()["id"]

    await sync_to_async(outside.await_call)()
    for process in (recorder, first):  # the first turn is recorded: its tool is being called
        (process.kill if process is recorder else first.end)()
        process.wait()
    watched.run("record")
    slow = watched.worker(CALL, ANSWER, step_s=0.3)
    outside.gate.release()
    await until(lambda: streamed(queue_of_scene, task))
    slow.signal(signal.SIGKILL)
    slow.wait()
    watched.worker(CALL, ANSWER)

    async def ended() -> bool:
        await queue_of_scene.reap(max_attempts=9, lease_s=2)
        return await Task.objects.for_tenant(tenant).filter(pk=task, state="succeeded").aexists()

    await until(ended)
    await sync_to_async(collector.wait_for)("task", "record", "POST /api/v1/tasks", "webhook")
    watched.end()  # whatever one of them still had to say is said

    row = await Task.objects.for_tenant(tenant).aget(pk=task)
    turns = [one async for one in Turn.objects.for_tenant(tenant).filter(task=row).order_by("number")]
    (call,) = [one async for one in ToolCall.objects.for_tenant(tenant).filter(task=row)]
    assert row.output == ANSWER
    assert len(turns) == 2
    held_to_rows(collector, row, turns, call)
    whole_tree(collector)
    said_of_it(collector, row, turns)

    tool, hook = outside.tool[0], outside.webhooks[0]
    assert tool["traceparent"] == f"00-{CALLER[3:35]}-{collector.one('tool').id}-01"
    assert hook["traceparent"] == f"00-{CALLER[3:35]}-{collector.one('webhook').id}-01"
    assert tool["tracestate"] == hook["tracestate"] == "vendor=opaque"
    key = watched.scene.ann.key
    for body in collector.bodies:
        for secret in (QUESTION, ANSWER[:20], "result that nobody", key):
            assert secret.encode() not in body
    lines_tell_of_it(watched, str(row.pk), str(tenant.pk))


def held_to_rows(collector: Collector, row: Task, turns: list[Turn], call: ToolCall) -> None:
    """Starts and ends are those of the rows."""
    whole = collector.one("task")
    assert near(whole.start_ns, row.created_at)
    assert near(whole.end_ns, row.finished_at)
    queues, told = collector.named("queue"), collector.named("turn")
    assert len(queues) == 3
    assert len(told) == 2
    of_turns = [one for one in queues if one.parent == whole.id]
    for span, waited, turn in zip(told, of_turns, turns, strict=True):
        assert near(waited.start_ns, turn.queued_at)
        assert near(waited.end_ns, turn.claimed_at)
        assert near(span.start_ns, turn.claimed_at)
        assert near(span.end_ns, turn.finished_at)
    prefill, decode = (
        [one for one in collector.named(name) if one.parent == told[0].id] for name in ("prefill", "decode")
    )
    assert near(prefill[0].start_ns, turns[0].claimed_at)
    assert near(prefill[0].end_ns, turns[0].first_token_at)
    assert near(decode[0].start_ns, turns[0].first_token_at)
    assert near(decode[0].end_ns, turns[0].finished_at)
    log = turns[1].attempt_log
    assert log is not None
    lost, last = collector.named("attempt")
    assert lost.parent == last.parent == told[1].id
    assert (lost.start_ns, lost.end_ns) == (log["1"]["claimed_ms"] * MS, log["1"]["ended_ms"] * MS)
    assert last.start_ns == log["2"]["claimed_ms"] * MS
    assert near(last.end_ns, turns[1].finished_at)
    (between,) = [one for one in queues if one.parent == told[1].id]
    assert (between.start_ns, between.end_ns) == (lost.end_ns, last.start_ns)
    for attempt in (lost, last):
        (read,) = [one for one in collector.named("prefill") if one.parent == attempt.id]
        (wrote,) = [one for one in collector.named("decode") if one.parent == attempt.id]
        assert attempt.start_ns == read.start_ns <= read.end_ns == wrote.start_ns <= wrote.end_ns == attempt.end_ns
    (first,) = [one for one in collector.named("prefill") if one.parent == lost.id]
    assert near(first.end_ns, turns[1].first_token_at)
    tool, record = collector.one("tool"), collector.one("record")
    assert near(tool.start_ns, call.started_at)
    assert near(tool.end_ns, call.finished_at)
    assert near(record.start_ns, row.finished_at)
    assert record.end_ns > record.start_ns


def whole_tree(collector: Collector) -> None:
    """One trace; each span once; each one's parent is there; the root is the caller's child."""
    assert {span.trace for span in collector.spans} == {CALLER[3:35]}
    by_id = {span.id: span for span in collector.spans}
    assert len(by_id) == len(collector.spans)
    root = collector.one("POST /api/v1/tasks")
    assert root.parent == CALLER[36:52]
    assert all(span.parent in by_id for span in collector.spans if span is not root)
    assert collector.one("task").parent == root.id
    assert all(span.end_ns >= span.start_ns for span in collector.spans)


def said_of_it(collector: Collector, row: Task, turns: list[Turn]) -> None:
    """Attributes by the conventions."""
    for span, turn in zip(collector.named("turn"), turns, strict=True):
        said = span.attributes
        assert (said["opsite.task"], said["opsite.tenant"]) == (str(row.pk), str(row.tenant_id))
        assert (said["opsite.worker"], said["opsite.attempts"]) == (turn.worker, turn.attempts)
        assert said["gen_ai.operation.name"] == "chat"
        assert said["gen_ai.usage.input_tokens"] == turn.prompt_tokens
        assert said["gen_ai.usage.output_tokens"] == turn.completion_tokens
    reasons = [span.attributes["gen_ai.response.finish_reasons"] for span in collector.named("turn")]
    assert reasons == [["tool_calls"], ["stop"]]
    assert collector.one("task").attributes["gen_ai.agent.name"] == "actor"
    assert collector.one("tool").attributes["gen_ai.tool.name"] == "look"
    posted = collector.one("POST /api/v1/tasks")
    assert (posted.kind, posted.attributes["http.response.status_code"]) == (2, 202)
    assert {span.resource["service.name"] for span in collector.spans} == {"ops"}
    roles = {name: collector.one(name).resource["opsite.process"] for name in (posted.name, "task", "webhook")}
    assert list(roles.values()) == ["web", "recorder", "effects"]


def lines_tell_of_it(watched: Watched, task: str, tenant: str) -> None:
    """Every line of every process is a JSON object, and those about the task name it, its tenant and its trace."""
    about: dict[str, set[tuple[Any, ...]]] = {}
    for name, lines in watched.lines().items():
        for line in lines:
            said = json.loads(line)
            assert {"time", "level", "logger", "message", "process", "pid"} <= said.keys(), (name, line)
            for secret in (QUESTION, ANSWER[:20], "result that nobody", watched.scene.ann.key):
                assert secret not in line
            if said.get("task") == task or task in said["message"]:
                about.setdefault(said["process"], set()).add(
                    tuple(said.get(key) for key in ("task", "tenant", "trace_id"))
                )
    assert about == {process: {(task, tenant, CALLER[3:35])} for process in ("web", "recorder", "effects", "worker")}
