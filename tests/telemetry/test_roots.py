"""Work that nobody's request began: a root of its own, or the place behind the call that began it."""

from __future__ import annotations

import msgspec
from django.utils import timezone

from agents.dead_letters import rerun_tasks
from agents.models import Task
from agents.runner.claimed import ClaimedCall
from agents.runner.make import with_trace
from agents.submissions import body_of, options_of, submission
from taskqueue.sync_client import Queue
from telemetry.context import Trace
from telemetry.otel import Tracing
from tests.scene import Scene
from tests.telemetry.collector import Collector

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 a=1"


def test_a_dead_letter_that_runs_again_has_a_trace_of_its_own(
    scene: Scene, redis_url: str, traced: Tracing, collector: Collector
) -> None:
    error = {"code": "poison", "message": "2 workers were lost."}
    dead = scene.ann.task(state="failed", error=error, finished_at=timezone.now(), trace=TRACE)
    (again,) = rerun_tasks(tasks=[dead], redis_url=redis_url, now=timezone.now()).accepted
    place = Trace.parse(Task.objects.for_tenant(scene.ann.tenant).get(pk=again.pk).trace)
    traced.close()
    span = collector.one("run again")
    assert place == Trace(span.trace, span.id, sampled=True)
    assert span.attributes["opsite.rerun_of"] == str(dead.pk)
    queue = Queue(redis_url, scene.pool.slug)
    (claimed,) = queue.claim("w", 1, lease_s=60)
    assert claimed.body.trace == str(place)
    queue.close()


def test_a_trace_goes_with_the_turn_and_is_none_of_the_tasks_options() -> None:
    body = body_of("hi", {})
    sent = submission(turn="u", task="t", tenant="n", body=body, weight=1, trace=TRACE)
    assert sent.body.trace == TRACE
    assert "trace" not in options_of(body)
    assert b"trace" not in msgspec.msgpack.encode(submission(turn="u", task="t", tenant="n", body=body, weight=1).body)


def call(trace: str) -> ClaimedCall:
    number = "00000000-0000-0000-0000-000000000001"
    row = {
        "id": number, "tenant": number, "task": number, "call_id": "c", "name": "look", "arguments": "{}", "attempts": 1,
        "key": None, "submitted_by": "", "priority": 5, "trace": trace, "pool": "p", "agent": "a", "tools": [],
    }  # fmt: skip
    return msgspec.convert(row, ClaimedCall)


def test_tools_are_told_of_the_trace_unless_they_say_one_themselves() -> None:
    one = call(TRACE)
    assert with_trace(one, {"X-Key": "1"}) == {
        "X-Key": "1",
        "traceparent": f"{TRACE[:36]}{one.span}-01",
        "tracestate": "a=1",
    }
    assert with_trace(one, {"Traceparent": "mine"}) == {"Traceparent": "mine"}
    assert with_trace(call(""), {"X-Key": "1"}) == {"X-Key": "1"}
