"""The page of a task: what it shows of each kind of task, and to whom."""

from __future__ import annotations

import re
import uuid
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from agents.models import Reply, Task, ToolCall, Turn
from agents.services import revise_agent
from batches.models import Batch, File
from billing.models import UsageHour
from comparisons.models import Comparison, ComparisonRun, InputSet
from console.tasks.page import page_of
from console.tasks.reads import rows_of
from schedules.models import Firing, Schedule
from staff.access import Access
from tenants.models import ApiKey
from tests.console.conftest import Enter
from tests.console.task_scene import ANSWER, QUESTION, telling
from tests.scene import Party, Scene

OPERATOR = Access("operator")
QUERIES = 14
"""Of the page itself, with session, user and role; what belongs to a conversation adds some."""


def show(client: Client, task: Task | uuid.UUID) -> str:
    response = client.get(reverse("console:task", args=[getattr(task, "pk", task)]))
    assert response.status_code == 200
    return unescape(response.content.decode())


def ended(party: Party, state: str = "succeeded", **more: Any) -> Task:
    return party.task(state=state, finished_at=timezone.now(), **more)


def test_a_task_that_ended_is_told_whole(enter: Enter, scene: Scene) -> None:
    task = telling(scene)
    page = show(enter("viewer"), task)
    said = [
        str(task.pk), QUESTION, ANSWER, scene.ann.tenant.slug, "You plan journeys in Norway.", "Let me look both up.",
        "09:00 bus, arrives 18:10", '"city": "Oslo"', "its worker was lost", "was memory out?", "The forecast of a city.",
        "2 messages were sent, the 2 oldest were left out: 412 tokens of the 4,096 that there is room for.", "finish reason: stop",
        "max_tokens", "No log probabilities were kept.", "trip", "oslo-bergen",
    ]  # fmt: skip
    assert [words for words in said if words not in page] == []
    assert len(re.findall(r'href="/console/workers/[-0-9a-f]{36}/"', page)) == 3
    assert "Run again…" not in page  # a viewer looks


def test_the_waterfall_and_its_table_say_where_the_time_went(scene: Scene) -> None:
    page = page_of(rows_of(OPERATOR, telling(scene).pk), now=timezone.now())
    told = [(lane.name, bar.kind, bar.lasts) for lane in page.waterfall.lanes for bar in lane.bars]
    assert told == [
        ("Turn 1", "queued", "0.800 s"), ("Turn 1", "lost", "3.400 s"), ("Turn 1", "queued", "0.700 s"),
        ("Turn 1", "run", "1.400 s"), ("Turn 1", "tools", "3.100 s"),
        ("weather", "call", "1.200 s"), ("timetable", "call", "2.900 s"),
        ("Turn 2", "queued", "0.200 s"), ("Turn 2", "prefill", "0.500 s"), ("Turn 2", "decode", "4.650 s"),
    ]  # fmt: skip
    assert page.waterfall.lasts == "14.750 s"


def test_its_cost_is_what_billing_counts(scene: Scene) -> None:
    """Turns end by updates of the rows, which billing's triggers count, price by price."""
    task = telling(scene)
    Turn.objects.for_tenant(scene.ann.tenant).filter(task=task).update(finished_at=None)
    UsageHour.objects.for_tenant(scene.ann.tenant).delete()
    for turn in Turn.objects.for_tenant(scene.ann.tenant).filter(task=task):
        Turn.objects.for_tenant(scene.ann.tenant).filter(pk=turn.pk).update(finished_at=timezone.now())
    counted = sum((row.cost for row in UsageHour.objects.for_tenant(scene.ann.tenant)), Decimal(0))
    page = page_of(rows_of(OPERATOR, task.pk), now=timezone.now())
    assert counted > 0
    assert page.whole.cost == f"{counted:.6f}".rstrip("0") + " USD"


def test_a_task_that_failed_says_why(enter: Enter, scene: Scene) -> None:
    error = {"code": "poison", "message": "2 workers were lost while they ran this task."}
    page = show(enter("operator"), ended(scene.ann, "failed", error=error))
    assert "poison: 2 workers were lost while they ran this task." in page
    assert "Run again…" in page
    assert "goes on where this one was: no tool is called again" in page


def test_a_task_that_came_too_late_says_so(enter: Enter, scene: Scene) -> None:
    assert "its deadline passed" in show(enter("operator"), ended(scene.ann, "expired"))


def test_a_task_that_runs_is_followed(enter: Enter, scene: Scene) -> None:
    task = scene.ann.task(state="running")
    now = timezone.now()
    Turn.objects.for_tenant(scene.ann.tenant).filter(task=task).update(
        state="running", claimed_at=now, worker="w-1", attempts=1
    )
    page = show(enter("operator"), task)
    assert f'data-events="/console/tasks/{task.pk}/events"' in page
    assert 'id="stream"' in page
    assert "it goes on" in page
    assert "Cancel…" in page


def test_a_task_that_waits_for_its_conversation_names_whom_it_waits_for(enter: Enter, scene: Scene) -> None:
    conversation = scene.ann.conversation(title="A long talk")
    first = scene.ann.task(conversation=conversation)
    second = scene.ann.task(state="waiting")
    Task.objects.for_tenant(scene.ann.tenant).filter(pk=second.pk).update(conversation=conversation)
    Reply.objects.create(
        tenant=scene.ann.tenant, task=second, conversation=conversation, number=2, line=first.pk, said=1
    )
    page = show(enter("operator"), second)
    assert "It waits for its conversation" in page
    assert f'href="/console/tasks/{first.pk}/"' in page
    assert "A long talk" in page
    (part,) = page_of(rows_of(OPERATOR, second.pk), now=timezone.now()).waterfall.parts
    assert part.kind == "conversation"


def test_where_it_came_from_is_linked(enter: Enter, scene: Scene) -> None:
    parent = scene.ann.task()
    call = ToolCall.objects.create(
        tenant=scene.ann.tenant,
        task=parent,
        turn=parent.turns.get(),
        number=1,
        call_id="c",
        name="hand_off",
        state="waiting",
    )
    again = scene.ann.task(rerun_of=ended(scene.ann, "failed"), parent_call=call)
    key = ApiKey.objects.for_tenant(scene.ann.tenant).get()
    own = {"tenant": scene.ann.tenant}
    schedule = Schedule.objects.create(
        **own, name="nightly", agent=scene.ann.agent, task={}, cron="0 3 * * *", api_key=key, is_enabled=False
    )
    Firing.objects.create(**own, schedule=schedule, nominal_at=timezone.now(), state="fired", task=again)
    left, right = (
        revise_agent(agent=scene.ann.agent, pool=scene.pool, system_prompt=words, params={}) for words in "ab"
    )
    inputs = InputSet.objects.create(**own, agent=scene.ann.agent, name="inputs", items=[])
    comparison = Comparison.objects.create(
        **own, agent=scene.ann.agent, input_set=inputs, left=left, right=right, api_key=key
    )
    ComparisonRun.objects.create(**own, comparison=comparison, number=3, side="left", task=again)
    file = File.objects.create(**own, filename="lines.jsonl", purpose="batch")
    batch = Batch.objects.create(
        **own, endpoint="/v1/chat/completions", input_file=file, expires_at=timezone.now()
    )  # fmt: skip
    Task.objects.for_tenant(scene.ann.tenant).filter(pk=again.pk).update(metadata={"batch": f"batch_{batch.pk}"})
    page = show(enter("operator"), again)
    assert f'href="/console/tasks/{parent.pk}/"' in page
    assert f'href="/console/tasks/{again.rerun_of_id}/"' in page
    for row in (schedule, comparison, batch):
        label = f"{row._meta.app_label}_{row._meta.model_name}"
        assert f'href="{reverse(f"admin:{label}_change", args=[row.pk])}"' in page
    assert f'href="/console/tasks/{again.pk}/"' in show(enter("operator"), parent)


def test_long_texts_are_folded_and_cut(enter: Enter, scene: Scene) -> None:
    task = ended(scene.ann, output="x" * 300_000)
    messages = [
        {"role": "user", "content": f"message {number} " + "y" * 60_000 * (number == 0)} for number in range(200)
    ]
    Task.objects.for_tenant(scene.ann.tenant).filter(pk=task.pk).update(input=messages)
    page = show(enter("operator"), task)
    assert "92000 characters behind these are not shown" in page
    assert "130 messages between are not shown." in page
    assert "message 199 " in page
    assert "message 100 " not in page
    assert "They are too long to be shown here" in page
    commands = enter("viewer").get(reverse("console:task_curl", args=[task.pk]))
    assert commands["content-type"] == "text/plain; charset=utf-8"
    assert "message 100 " in commands.content.decode()


def test_what_a_tenant_wrote_is_text_and_no_markup(enter: Enter, scene: Scene) -> None:
    task = ended(scene.ann, output="<script>alert(1)</script>", metadata={"<b>": "<i>"})
    content = enter("operator").get(reverse("console:task", args=[task.pk])).content.decode()
    assert "<script>alert" not in content
    assert "<i>" not in content


def test_queries_do_not_grow_with_the_task(enter: Enter, scene: Scene) -> None:
    client = enter("operator")
    small, large = ended(scene.ann), telling(scene)
    Turn.objects.for_tenant(scene.ann.tenant).filter(task=small).update(worker=str(uuid.uuid4()))
    for number in range(3, 9):
        turn = Turn.objects.create(
            tenant=scene.ann.tenant, task=large, number=number, queued_at=timezone.now(), worker=str(uuid.uuid4())
        )
        for place in range(1, 4):
            ToolCall.objects.create(
                tenant=scene.ann.tenant, task=large, turn=turn, number=place, call_id=f"c{place}", name="weather"
            )
    show(client, small)
    counts = []
    for task in (small, large):
        with CaptureQueriesContext(connection) as captured:
            show(client, task)
        counts.append(len(captured))
    assert counts[0] == counts[1] <= QUERIES, counts


@pytest.mark.parametrize("action", ["", "curl/", "cancel/", "retry/"])
def test_another_tenants_task_is_not_there(enter: Enter, scene: Scene, action: str) -> None:
    client = enter("tenant_administrator", tenant=scene.ann.tenant)
    foreign = f"/console/tasks/{ended(scene.bob).pk}/{action}"
    looks = action in ("", "curl/")
    assert (client.get(foreign) if looks else client.post(foreign)).status_code == 404


def test_who_may_do_what(enter: Enter, scene: Scene) -> None:
    task = ended(scene.ann)
    url = reverse("console:task", args=[task.pk])
    viewer, own = enter("viewer"), enter("tenant_administrator", tenant=scene.ann.tenant)
    assert viewer.get(url).status_code == own.get(url).status_code == 200
    assert [viewer.post(f"{url}{action}/").status_code for action in ("cancel", "retry")] == [403, 403]
    assert own.get(f"{url}retry/").status_code == 405
    assert Client().get(url).status_code == 302
    assert own.post(f"{url}retry/").status_code == 302
    assert Task.objects.for_tenant(scene.ann.tenant).get(rerun_of=task).state == "queued"
    assert viewer.get(reverse("console:task", args=[uuid.uuid4()])).status_code == 404
