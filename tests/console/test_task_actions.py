"""What staff does with a task: cancelled, run again, and written down."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from agents.models import Task, Turn
from audit.models import Entry
from taskqueue.sync_client import Queue
from tests.console.conftest import Enter
from tests.console.task_scene import telling
from tests.scene import Party, Scene


@pytest.fixture
def queue(redis_url: str, scene: Scene) -> Iterator[Queue]:
    queue = Queue(redis_url, scene.pool.slug)
    yield queue
    queue.close()


def press(client: Client, action: str, task: Task) -> str:
    """What the page says that comes after."""
    return client.post(reverse(f"console:task_{action}", args=[task.pk]), follow=True).content.decode()


def ended(party: Party, **more: Any) -> Task:
    return party.task(**{"state": "succeeded", "finished_at": timezone.now(), **more})


def again_of(task: Task) -> Task:
    return Task.objects.for_tenant(task.tenant_id).get(rerun_of=task)


def test_an_ended_task_is_run_again_from_its_beginning(enter: Enter, scene: Scene, queue: Queue) -> None:
    task = telling(scene)
    said = press(enter("operator"), "retry", task)
    again = again_of(task)
    assert f"This new task runs …{str(task.pk)[-12:]} again." in said
    same = ("agent_id", "revision_id", "pool_id", "input", "params", "options", "output_form", "priority", "metadata")
    assert [getattr(again, name) for name in same] == [getattr(task, name) for name in same]
    assert (again.state, again.output, again.idempotency_key) == ("queued", "", None)
    (claimed,) = queue.claim("w", 8, lease_s=60)
    assert claimed.task == str(again.pk)
    assert [message.role for message in claimed.body.messages] == ["system", "user", "assistant", "user"]
    assert [tool.name for tool in claimed.body.tools] == ["weather", "timetable"]
    entry = Entry.objects.get(action="task.retry")
    assert (entry.object_id, entry.tenant_id, entry.after) == (
        str(task.pk), task.tenant_id, {"run_again_as": str(again.pk)},
    )  # fmt: skip


def test_it_is_run_again_once_and_the_new_one_in_its_turn(enter: Enter, scene: Scene, queue: Queue) -> None:
    client, task = enter("operator"), ended(scene.ann)
    press(client, "retry", task)
    assert "was run again before" in press(client, "retry", task)
    again = again_of(task)
    assert "has not ended" in press(client, "retry", again)
    Task.objects.for_tenant(scene.ann.tenant).filter(pk=again.pk).update(state="cancelled", finished_at=timezone.now())
    press(client, "retry", again)
    assert again_of(again).state == "queued"
    assert queue.signals().waiting == 2
    assert Entry.objects.filter(action="task.retry").count() == 2


def test_it_stands_beside_its_conversation(enter: Enter, scene: Scene, queue: Queue) -> None:
    task = ended(scene.ann, conversation=scene.ann.conversation())
    press(enter("operator"), "retry", task)
    assert again_of(task).conversation is None


def test_a_dead_letter_goes_on_where_it_was(enter: Enter, scene: Scene, queue: Queue) -> None:
    task = ended(
        scene.ann, state="failed", error={"code": "poison", "message": "…"}, conversation=scene.ann.conversation()
    )
    context = [{"role": "assistant", "content": "It rains."}]
    Turn.objects.create(tenant=scene.ann.tenant, task=task, number=2, queued_at=timezone.now(), context=context)
    press(enter("tenant_administrator", tenant=scene.ann.tenant), "retry", task)
    again = again_of(task)
    assert (again.input, again.conversation_id) == ([*task.input, *context], task.conversation_id)


def test_nothing_is_run_for_an_inactive_tenant(enter: Enter, scene: Scene, queue: Queue) -> None:
    task = ended(scene.ann)
    scene.ann.tenant.is_active = False
    scene.ann.tenant.save()
    assert "The tenant is inactive" in press(enter("operator"), "retry", task)
    assert not Entry.objects.filter(action="task.retry").exists()
    assert queue.signals().waiting == 0


def test_a_spent_budget_refuses_it_but_no_dead_letter(enter: Enter, scene: Scene, queue: Queue) -> None:
    tenant = scene.ann.tenant
    task, dead = ended(scene.ann), ended(scene.ann, state="failed", error={"code": "poison", "message": "It kills."})
    tenant.budget_spent_until = timezone.now() + timedelta(days=1)
    tenant.save()
    client = enter("tenant_administrator", tenant)
    assert "budget of money is spent" in press(client, "retry", task)
    assert not Task.objects.for_tenant(tenant).filter(rerun_of=task).exists()
    press(client, "retry", dead)
    assert again_of(dead).state == "queued", "it was accepted while there was money"
    tenant.budget_spent_until = timezone.now()
    tenant.save()
    press(client, "retry", task)
    assert again_of(task).state == "queued"


def test_a_waiting_task_is_cancelled(enter: Enter, scene: Scene, queue: Queue) -> None:
    client, task = enter("operator"), ended(scene.ann)
    press(client, "retry", task)
    again = again_of(task)
    assert "The task is being cancelled" in press(client, "cancel", again)
    assert queue.signals().waiting == 0
    assert [event.kind for event in queue.read_log(str(again.pk))][-1] == "outcome"
    entry = Entry.objects.get(action="task.cancel")
    assert (entry.object_id, entry.before) == (str(again.pk), {"state": "queued"})


def test_what_cannot_be_cancelled_is_said(enter: Enter, scene: Scene, queue: Queue) -> None:
    client = enter("operator")
    assert "The task has ended already: succeeded." in press(client, "cancel", ended(scene.ann))
    assert "The queue does not know the task at this moment" in press(client, "cancel", scene.ann.task())
    assert not Entry.objects.filter(action="task.cancel").exists()


def test_without_redis_nothing_is_cancelled(enter: Enter, scene: Scene, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert "Redis does not answer: nothing was cancelled." in press(enter("operator"), "cancel", scene.ann.task())
    assert not Entry.objects.filter(action="task.cancel").exists()


def test_without_redis_it_is_run_again_by_the_sweep(enter: Enter, scene: Scene, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    task = ended(scene.ann)
    press(enter("operator"), "retry", task)
    assert again_of(task).state == "queued"
