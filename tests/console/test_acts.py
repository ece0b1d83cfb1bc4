"""What changes no watched row, or not by itself: each act of a list, and of signing in, is an entry of its own."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from agents.lifecycle import CallState
from agents.models import Task, ToolCall
from audit.models import Entry
from orchestrator import steering
from orchestrator.manual_rows import ManualSize
from orchestrator.models import Pool
from taskqueue.sync_client import Queue
from tests.console.conftest import Enter
from tests.scene import Scene
from webhooks.models import Delivery
from webhooks.services import create_endpoint


def press(client: Client, model: str, action: str, *rows: Any, query: str = "") -> None:
    asked = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
    assert client.post(reverse(f"admin:{model}_changelist") + query, asked).status_code == 302


def acts(action: str) -> list[tuple[str, Any]]:
    """Whose object, and which."""
    return [(entry.object_id, entry.tenant_id) for entry in Entry.objects.filter(action=action).order_by("id")]


@pytest.fixture
def queue(redis_url: str, scene: Scene) -> Any:
    queue = Queue(redis_url, scene.pool.slug)
    yield queue
    queue.close()


def test_tasks_that_a_list_cancels_or_runs_again(operator: Client, scene: Scene, queue: Queue) -> None:
    over = scene.bob.task(state="cancelled", finished_at=timezone.now())
    dead = scene.bob.task(state="failed", finished_at=timezone.now(), error={"code": "poison", "message": "x"})
    assert dead.is_dead_letter
    press(operator, "agents_task", "run_again", dead, over)
    assert acts("task.retry") == [(str(dead.pk), dead.tenant_id)]
    again = Task.objects.for_tenant(dead.tenant_id).get(rerun_of=dead)
    assert Entry.objects.get(action="task.retry").after == {"run_again_as": str(again.pk)}
    press(operator, "agents_task", "cancel", again, over)
    assert acts("task.cancel") == [(str(again.pk), again.tenant_id)]


def test_pools_that_a_list_pauses_or_resumes_drained_ones_too(operator: Client, scene: Scene) -> None:
    pool = scene.pool
    steering.drain(pool.pk, now=timezone.now(), by="amy")
    press(operator, "orchestrator_pool", "pause", pool)
    press(operator, "orchestrator_pool", "pause", pool)
    press(operator, "orchestrator_pool", "resume", pool, query="?is_paused__exact=1")
    assert not Pool.objects.get(pk=pool.pk).is_paused
    assert not ManualSize.objects.exists(), "the filter fits no more when the pause is over"
    steering.drain(pool.pk, now=timezone.now(), by="amy")
    press(operator, "orchestrator_pool", "resume", pool)
    assert [len(acts(f"pool.{name}")) for name in ("pause", "resume")] == [1, 2]


def test_webhooks_that_are_tested_and_replayed(operator: Client, scene: Scene) -> None:
    endpoint = create_endpoint(tenant=scene.ann.tenant, url="https://example.com/").endpoint
    press(operator, "webhooks_endpoint", "test", endpoint)
    delivery = Delivery.objects.across_tenants().get()
    press(operator, "webhooks_delivery", "replay", delivery)  # it is pending still
    Delivery.objects.across_tenants().update(state="failed", finished_at=timezone.now())
    press(operator, "webhooks_delivery", "replay", delivery)
    assert acts("endpoint.test") == [(str(endpoint.pk), endpoint.tenant_id)]
    assert acts("delivery.replay") == [(str(delivery.pk), delivery.tenant_id)]


def test_an_answer_to_an_agent_and_not_what_it_says(enter: Enter, scene: Scene, queue: Queue) -> None:
    task = scene.ann.task(state="waiting")
    call = ToolCall.objects.create(
        tenant=scene.ann.tenant, task=task, turn=task.turns.get(), number=1, call_id="c", name="ask_human",
        arguments="{}", state=CallState.WAITING,
    )  # fmt: skip
    administrator = enter("tenant_administrator", scene.ann.tenant)
    administrator.post(reverse("admin:agents_toolcall_change", args=[call.pk]), {"answer": "hunter2"})
    entry = Entry.objects.get(action="toolcall.change")
    assert (entry.actor, entry.object_id, entry.tenant_id) == (
        administrator.user.get_username(),  # type: ignore[attr-defined]
        str(call.pk), call.tenant_id,
    )  # fmt: skip
    assert entry.after is not None
    assert (entry.after["state"], entry.after["result"]) == ("succeeded", "(hidden)")


def test_open_tasks_of_a_tenant_that_is_suspended_already(operator: Client, scene: Scene, queue: Queue) -> None:
    url = reverse("console:tenant_suspend", args=[scene.ann.tenant.console_name])
    for asked in ({}, {}, {"cancel": "on"}):
        operator.post(url, asked)
    assert (
        acts("tenant.suspend") == acts("tenant.cancel_open_tasks") == [(str(scene.ann.tenant.pk), scene.ann.tenant.pk)]
    )
