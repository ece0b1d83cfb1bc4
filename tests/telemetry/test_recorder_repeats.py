"""A recorder that dies between its commit and its word to the queue reads the batch again: the spans it tells are the same."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import psycopg
import pytest

from agents.models import Task
from agents.recorder import record_once
from agents.recorder.traces import reader
from agents.submissions import body_of, submission
from taskqueue.async_client import AsyncQueue
from taskqueue.failures import QueueUnavailable
from taskqueue.messages import Record
from telemetry.exporting import TaskSpans
from telemetry.otel import Tracing
from tests.faces.conftest import HandWorker
from tests.scene import Scene
from tests.telemetry.collector import Collector

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class CutOff(AsyncQueue):
    """A queue that hears nothing of what was committed."""

    async def acknowledge(self, records: Sequence[Record], **more: Any) -> None:
        raise QueueUnavailable("cut off")


@pytest.mark.django_db(transaction=True)
async def test_a_batch_that_comes_again_is_the_same_spans(
    live_scene: Scene, database_url: str, redis_url: str, traced: Tracing, collector: Collector
) -> None:
    from asgiref.sync import sync_to_async

    task: Task = await sync_to_async(live_scene.ann.task)(trace=TRACE)
    turn = await task.turns.aget()
    queue, cut_off = AsyncQueue(redis_url, live_scene.pool.slug), CutOff(redis_url, live_scene.pool.slug)
    asks = submission(
        turn=str(turn.pk), task=str(task.pk), tenant=str(task.tenant_id), body=body_of(task.input, task.params),
        weight=1, trace=TRACE,
    )  # fmt: skip
    await queue.enqueue([asks])
    hand = HandWorker(queue)
    (claimed,) = await hand.claim()
    assert claimed.body.trace == TRACE
    await hand.say(claimed, "hello")
    await hand.end(claimed, "hello")

    connect = partial(psycopg.AsyncConnection.connect, database_url, autocommit=True)
    told = []
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        for by in (cut_off, queue):
            spans = TaskSpans(traced, reader(traced, connect))
            try:
                await record_once(connection, by, spans=spans)
            except QueueUnavailable:
                assert by is cut_off
            await spans.close()
            told.append({(one.name, one.id, one.parent, one.start_ns) for one in collector.spans})
            collector.spans.clear()
            assert await Task.objects.for_tenant(task.tenant_id).filter(pk=task.pk, state="succeeded").aexists()
    first, again = told
    assert {name for name, *_ in first} == {"task", "queue", "turn", "prefill", "decode", "record"}
    assert first == again
    await queue.aclose()
    await cut_off.aclose()
