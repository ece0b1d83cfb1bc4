"""Both revisions run over a set: each input once on each side, whoever is killed, and the report says what came of it."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from agents.models import Task
from agents.services import draft_revision
from comparisons.models import Comparison, ComparisonRun
from comparisons.running import PRIORITY, WINDOW
from comparisons.services import create_comparison, create_input_set
from tenants.models import ApiKey
from tenants.services import revoke_key
from tests.faces.conftest import PATIENCE_S, HandWorker
from tests.scene import Party, Scene

pytestmark = pytest.mark.timeout(150)
COUNT = WINDOW // 2 + 2  # more than are open at a time


@sync_to_async
def compare(party: Party, items: list[Any]) -> Comparison:
    draft_revision(agent=party.agent, tenant=party.tenant, changes={"system_prompt": "Add."}, created_by="test")
    input_set = create_input_set(agent=party.agent, name="sums", items=items, created_by="test")
    return create_comparison(input_set=input_set, left=1, right=2, key=ApiKey.objects.for_tenant(party.tenant).get())


async def until(check: Callable[[], Any]) -> None:
    """Wait for something in Postgres, with a bound."""
    async with asyncio.timeout(PATIENCE_S):
        while not await check():  # noqa: ASYNC110 - what is waited for happens in Postgres
            await asyncio.sleep(0.05)


def is_done(comparison: Comparison) -> Callable[[], Any]:
    rows = Comparison.objects.for_tenant(comparison.tenant_id).filter(pk=comparison.pk, state="done")
    return rows.aexists


@sync_to_async
def get(party: Party, path: str, **query: Any) -> Any:
    answer = Client().get(f"/api/v1/comparisons/{path}", query, headers=party.headers)
    assert answer.status_code == 200, answer.content
    return answer


async def test_a_comparison_and_its_report(live_scene: Scene, start: Callable[..., Any], worker: HandWorker) -> None:
    ann = live_scene.ann
    items = [{"input": f"{n} + {n}?", "checks": {"text": str(2 * n)}} for n in range(COUNT)]
    items[0]["checks"] = {"regex": "<b>", "json": {"a": 1}}
    comparison = await compare(ann, items)
    processes = [start("effects"), start("effects")]
    start("record")
    for _ in range(3):
        await answer(worker)
    processes[0].kill()  # somewhere in the middle; the other one, or the next, goes on
    start("effects")
    for _ in range(2 * COUNT - 3):
        await answer(worker)
    await until(is_done(comparison))

    runs = [run async for run in ComparisonRun.objects.for_tenant(ann.tenant).select_related("task__revision")]
    tasks = {run.task_id for run in runs}
    assert len(tasks) == len(runs) == 2 * COUNT == await Task.objects.for_tenant(ann.tenant).acount()
    for run in runs:
        assert run.task is not None
        assert run.task.revision.number == {"left": 1, "right": 2}[run.side]
        assert run.task.priority == PRIORITY

    report = (await get(ann, str(comparison.pk))).json()
    left, right = report["totals"]["left"], report["totals"]["right"]
    assert (report["state"], report["totals"]["differ"]) == ("done", COUNT)
    assert (left["succeeded"], left["checks_passed"], left["checks"]) == (COUNT, 1, COUNT + 1)
    assert (right["succeeded"], right["checks_passed"], right["checks"]) == (COUNT, COUNT - 1, COUNT + 1)
    assert right["completion_tokens"] == 2 * COUNT
    assert 0 <= right["queued_s"] <= right["first_token_s"] <= right["total_s"]
    page = (await get(ann, f"{comparison.pk}/report", count=3)).json()
    assert page["next"] == 3
    second = page["results"][1]
    assert (second["differ"], second["left"]["output"], second["right"]["output"]) == (True, "<b>no</b>", "2")
    assert second["right"]["checks"] == [{"check": "text", "passed": True, "message": ""}]
    table = await get(ann, f"{comparison.pk}/csv")
    assert table.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(table.content.decode())))
    assert [row["right_output"] for row in rows] == [str(2 * n) for n in range(COUNT)]
    assert rows[1]["right_checks_passed"] == "1 of 1"
    await sync_to_async(shown)(comparison)


async def answer(worker: HandWorker) -> None:
    """The first revision says no, the second, which is told to add, adds."""
    (turn,) = await worker.claim()
    number = int(turn.body.messages[-1].content.split()[0])
    text = str(2 * number) if turn.body.messages[0].role == "system" else "<b>no</b>"
    await worker.say(turn, text)
    await worker.end(turn, text)


def shown(comparison: Comparison) -> None:
    """The console's table, in which an answer is text and no markup."""
    client = Client()
    client.force_login(User.objects.create_superuser("compares"))
    page = client.get(reverse("admin:comparisons_comparison_change", args=[comparison.pk])).content.decode()
    assert "&lt;b&gt;no&lt;/b&gt;" in page
    assert "<b>no</b>" not in page
    assert "answered otherwise" in page
    for name in ("comparison", "inputset", "comparisonrun"):
        assert client.get(reverse(f"admin:comparisons_{name}_changelist")).status_code == 200


async def test_a_key_that_may_no_more_ends_it_and_says_why(live_scene: Scene, start: Callable[..., Any]) -> None:
    ann = live_scene.ann
    comparison = await compare(ann, [{"input": "1 + 1?", "checks": {"text": "2"}}])
    await sync_to_async(revoke_key)(key=await ApiKey.objects.for_tenant(ann.tenant).aget())
    start("effects")
    await until(is_done(comparison))
    for run in [run async for run in ComparisonRun.objects.for_tenant(ann.tenant)]:
        assert run.error is not None
        assert run.error["code"] == "invalid_api_key"
        assert run.checks == [{"check": "text", "passed": False, "message": "there is no answer"}]
    assert not await Task.objects.for_tenant(ann.tenant).aexists()


async def test_a_run_whose_task_is_there_already_takes_it(live_scene: Scene, start: Callable[..., Any]) -> None:
    """As after a kill between the task and its note."""
    ann = live_scene.ann
    comparison = await compare(ann, [{"input": "1 + 1?"}])
    made = await sync_to_async(ann.task)(idempotency_key=f"comparison:{comparison.pk}:1:left")
    start("effects")

    async def noted() -> bool:
        return not await ComparisonRun.objects.for_tenant(ann.tenant).filter(task__isnull=True).aexists()

    await until(noted)
    left = await ComparisonRun.objects.for_tenant(ann.tenant).aget(side="left")
    assert left.task_id == made.pk
    right = await Task.objects.for_tenant(ann.tenant).aget(idempotency_key=f"comparison:{comparison.pk}:1:right")
    assert right.metadata == {"comparison": str(comparison.pk), "item": 1, "side": "right"}
    assert await Task.objects.for_tenant(ann.tenant).acount() == 2
