"""A task that tells much: tools, a take-over in the middle of an answer, prices, long texts."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from agents.models import Task, ToolCall, Turn
from billing.models import Price
from orchestrator.models import Worker
from orchestrator.revisions import note_edit
from tests.scene import Party, Scene

QUESTION = "What will the weather be in Oslo tomorrow, and shall I take the train or the bus to Bergen?"
ANSWER = (
    "Tomorrow Oslo has light rain and 7 °C in the morning, and it clears up after noon. Take the train: it leaves at 08:25, "
    "crosses the mountains in daylight, and arrives in Bergen at 15:12. The bus takes two hours longer, and its road may be "
    "closed by snow."
)
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
FORECAST = (
    '{"city":"Oslo","morning":{"rain_mm":1.2,"celsius":7},"afternoon":{"rain_mm":0.0,"celsius":11},"wind":"SW 4 m/s"}'
)


def worker(scene: Scene, begin: datetime, **more: Any) -> Worker:
    """A row of a worker of the pool."""
    revision = note_edit(scene.pool.pk, now=begin).current
    return Worker.objects.create(
        pool=scene.pool, revision=revision, runtime="process", slots=8, started_at=begin, **more
    )


def telling(scene: Scene, party: Party | None = None) -> Task:
    """It ended; of two turns the first was begun by a worker that was lost, and asked for two tools."""
    party = party or scene.ann
    now = timezone.now().replace(microsecond=0)
    Price.objects.create(
        pool=scene.pool,
        valid_from=now - timedelta(days=1),
        input=Decimal(2),
        cached_input=Decimal("0.5"),
        output=Decimal(8),
    )
    scene.pool.refresh_from_db()
    begin = now - timedelta(minutes=3)

    def at(seconds: float) -> datetime:
        return begin + timedelta(seconds=seconds)

    def ms(seconds: float) -> int:
        return round(at(seconds).timestamp() * 1000)

    lost = worker(
        scene, at(-600), state="failed", ready_at=at(-590), stopped_at=at(4.2), exit_code=-9,
        error="It was killed by a signal (9): was memory out?",
    )  # fmt: skip
    held = worker(scene, at(-300), state="ready", ready_at=at(-290))
    task = party.task(metadata={"app": "travel", "trip": "oslo-bergen"})
    tools = [
        {"name": "weather", "description": "The forecast of a city.", "parameters": CITY},
        {"name": "timetable", "description": "Departures between two cities.", "parameters": {"type": "object"}},
    ]  # fmt: skip
    calls = [
        {"id": "c1", "name": "weather", "arguments": '{"city": "Oslo"}'},
        {"id": "c2", "name": "timetable", "arguments": '{"from": "Oslo", "to": "Bergen"}'},
    ]
    departures = "08:25 train, arrives 15:12\n09:00 bus, arrives 18:10\n12:03 train, arrives 18:50"
    first = Turn.objects.for_tenant(party.tenant).get(task=task)
    first_row = {
        "state": "succeeded", "attempts": 2, "worker": str(held.pk), "output": "Let me look both up.",
        "attempt_log": {
            "1": {"worker": str(lost.pk), "claimed_ms": ms(0.8), "ended_ms": ms(4.2), "tokens": 9, "reason": "worker_lost"},
            "2": {"worker": str(held.pk), "claimed_ms": ms(4.9)},
        },
        "claimed_at": at(0.8), "finished_at": at(6.3), "queued_at": begin, "prompt_tokens": 412, "cached_tokens": 256,
        "completion_tokens": 61,
        "context_use": {"prompt_tokens": 412, "limit": 4096, "messages_sent": 2, "messages_dropped": 2},
    }  # fmt: skip
    Turn.objects.for_tenant(party.tenant).filter(pk=first.pk).update(**first_row)
    Turn.objects.create(
        tenant=party.tenant, task=task, number=2, state="succeeded", attempts=1, worker=str(held.pk),
        context=[
            {"role": "assistant", "content": "Let me look both up.", "tool_calls": calls},
            {"role": "tool", "content": FORECAST, "tool_call_id": "c1"},
            {"role": "tool", "content": departures, "tool_call_id": "c2"},
        ],
        queued_at=at(9.4), claimed_at=at(9.6), first_token_at=at(10.1), finished_at=at(14.75), prompt_tokens=688,
        cached_tokens=412, completion_tokens=74,
    )  # fmt: skip
    for number, (call, result, end) in enumerate(zip(calls, (FORECAST, departures), (7.6, 9.3), strict=True), 1):
        ToolCall.objects.create(
            tenant=party.tenant, task=task, turn=first, number=number, call_id=call["id"], name=call["name"],
            arguments=call["arguments"], state="succeeded", attempts=1, result=result, started_at=at(6.4), finished_at=at(end),
        )  # fmt: skip
    ToolCall.objects.for_tenant(party.tenant).filter(task=task).update(created_at=at(6.3))
    whole = {
        "state": "succeeded", "finish_reason": "stop", "output": ANSWER, "attempts": 2, "prompt_tokens": 1100,
        "cached_tokens": 668, "completion_tokens": 135, "created_at": begin, "started_at": at(0.8), "first_token_at": at(10.1),
        "finished_at": at(14.75),
        "options": {"tools": tools, "tools_run_here": True, "context": {"strategy": "trim", "max_tokens": 4096}},
        "params": {"max_tokens": 400, "temperature": 0.3},
        "input": [
            {"role": "system", "content": "You plan journeys in Norway. Be brief, and name times."},
            {"role": "user", "content": "I like mountains."},
            {"role": "assistant", "content": "Then take the line over Finse."},
            {"role": "user", "content": QUESTION},
        ],
    }  # fmt: skip
    Task.objects.for_tenant(party.tenant).filter(pk=task.pk).update(**whole)
    return Task.objects.for_tenant(party.tenant).get(pk=task.pk)
