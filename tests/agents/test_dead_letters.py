"""Dead letters in the console: found, told in words, and run again as new tasks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from agents.dead_letters import RunAgainAlready, rerun_tasks
from agents.models import Task, Turn
from audit.models import Entry
from taskqueue.sync_client import Queue
from tenants.models import Tenant
from tests.scene import Party, Scene
from tests.staff.members import member

LIST = "admin:agents_task_changelist"
SENTENCE = "2 workers were lost while they ran this task."


@pytest.fixture
def queue(redis_url: str, scene: Scene) -> Iterator[Queue]:
    queue = Queue(redis_url, scene.pool.slug)
    yield queue
    queue.close()


def dead(party: Party, code: str = "poison", **more: Any) -> Task:
    error = {"code": code, "message": SENTENCE}
    return party.task(state="failed", error=error, finished_at=timezone.now(), **more)


def press(client: Client, *tasks: Task) -> str:
    """Select rows, choose the action, go; what the page says then."""
    form = {"action": "run_again", "_selected_action": [str(task.pk) for task in tasks]}
    return client.post(reverse(LIST), form, follow=True).content.decode()


def colleague(client: Client, role: str, tenant: Tenant | None = None) -> Client:
    """Somebody of the staff with that role."""
    client.force_login(member(role, tenant))
    return client


def test_the_list_shows_dead_letters_and_why(admin_client: Client, scene: Scene) -> None:
    letters = [dead(scene.ann), dead(scene.bob, "attempts_exhausted")]
    others = [scene.ann.task(), dead(scene.ann, "engine_error")]
    shown = admin_client.get(reverse(LIST), {"dead_letter": "left"}).content.decode()
    assert all(str(task.pk) in shown for task in letters)
    assert not any(str(task.pk) in shown for task in others)
    assert SENTENCE in shown
    assert SENTENCE in admin_client.get(reverse("admin:agents_task_change", args=[letters[0].pk])).content.decode()


def test_it_runs_again_as_a_new_task_that_is_linked(
    admin_client: Client, scene: Scene, queue: Queue, client: Client
) -> None:
    later = timezone.now() + timedelta(hours=1)
    letter = dead(scene.ann, priority=2, metadata={"a": "b"}, deadline_at=later, conversation=scene.ann.conversation())
    before = Task.objects.for_tenant(scene.ann.tenant).filter(pk=letter.pk).values().get()
    said = press(admin_client, letter)
    again = Task.objects.for_tenant(scene.ann.tenant).get(rerun_of=letter)
    assert f"1 tasks are run again, as new tasks: {again.pk}." in said
    (entry,) = Entry.objects.filter(action="task.retry")
    assert (entry.actor, entry.object_id, entry.after) == ("admin", str(letter.pk), {"run_again_as": str(again.pk)})
    assert Task.objects.for_tenant(scene.ann.tenant).filter(pk=letter.pk).values().get() == before
    same = ("agent_id", "revision_id", "pool_id", "conversation_id", "input", "params", "priority", "metadata")
    assert [getattr(again, name) for name in same] == [before[name] for name in same]
    assert (again.state, again.deadline_at, again.idempotency_key) == ("queued", later, None)
    (claimed,) = queue.claim("w", 8, lease_s=60)
    assert claimed.task == str(again.pk)
    assert claimed.turn == str(Turn.objects.for_tenant(scene.ann.tenant).get(task=again).pk)
    assert [message.content for message in claimed.body.messages] == ["hi"]
    listed = client.get("/api/v1/tasks", headers=scene.ann.headers).json()["results"]
    assert {task["id"]: task["rerun_of"] for task in listed} == {str(again.pk): str(letter.pk), str(letter.pk): None}
    left = admin_client.get(reverse(LIST), {"dead_letter": "left"}).content.decode()
    assert str(letter.pk) not in left


def test_what_the_list_cancels_stands_in_the_audit_log(admin_client: Client, scene: Scene, queue: Queue) -> None:
    letter = dead(scene.ann)
    press(admin_client, letter)
    again = Task.objects.for_tenant(scene.ann.tenant).get(rerun_of=letter)
    form = {"action": "cancel", "_selected_action": [str(letter.pk), str(again.pk)]}
    assert "1 tasks were waiting or running" in admin_client.post(reverse(LIST), form, follow=True).content.decode()
    (entry,) = Entry.objects.filter(action="task.cancel")
    assert (entry.object_id, entry.before) == (str(again.pk), {"state": "queued"})


def test_it_goes_on_where_its_last_turn_was(scene: Scene, redis_url: str, queue: Queue) -> None:
    letter = dead(scene.ann)
    context = [
        {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "name": "look", "arguments": "{}"}]},
        {"role": "tool", "content": "rain", "tool_call_id": "c1"},
    ]
    Turn.objects.create(tenant=scene.ann.tenant, task=letter, number=2, queued_at=timezone.now(), context=context)
    (again,) = rerun_tasks(tasks=[letter], redis_url=redis_url, now=timezone.now()).accepted
    assert again.input == [*letter.input, *context]
    (claimed,) = queue.claim("w", 8, lease_s=60)
    assert [message.role for message in claimed.body.messages] == ["user", "assistant", "tool"]


def test_each_refusal_is_told_by_its_reason(admin_client: Client, scene: Scene, queue: Queue) -> None:
    letter, broken, waiting, second = (
        dead(scene.ann),
        dead(scene.ann, "engine_error"),
        scene.ann.task(),
        dead(scene.bob),
    )
    press(admin_client, letter)
    scene.bob.tenant.is_active = False
    scene.bob.tenant.save()
    said = press(admin_client, letter, broken, waiting, second)
    assert "tasks are run again" not in said
    for words, tasks in (
        ("because they were run again before", [letter]),
        ("because their tenant is inactive", [second]),
        ("because they are no dead letters", [broken, waiting]),
    ):
        (line,) = [line for line in said.splitlines() if words in line]
        assert all(str(task.pk) in line for task in tasks)
    assert queue.signals().waiting == 1


def test_a_deadline_that_has_passed_is_left_out_and_no_limit_refuses(
    admin_client: Client, scene: Scene, queue: Queue
) -> None:
    scene.ann.tenant.max_waiting = scene.ann.tenant.requests_per_minute = 1
    scene.ann.tenant.save()
    letters = [dead(scene.ann, deadline_at=timezone.now() - timedelta(hours=1)) for _ in range(3)]
    assert "3 tasks are run again" in press(admin_client, *letters)
    assert queue.signals().waiting == 3
    assert set(Task.objects.for_tenant(scene.ann.tenant).filter(state="queued").values_list("deadline_at")) == {(None,)}


def test_a_queue_that_is_away_is_told_by_the_sweep(scene: Scene) -> None:
    letter = dead(scene.ann)
    done = rerun_tasks(tasks=[letter], redis_url="unix:///nowhere/redis.sock", now=timezone.now())
    assert [task.rerun_of_id for task in done.accepted] == [letter.pk]
    done = rerun_tasks(tasks=[letter], redis_url="unix:///nowhere/redis.sock", now=timezone.now())
    assert [type(refusal) for _, refusal in done.refused] == [RunAgainAlready]


def test_the_database_links_a_dead_letter_to_one_rerun_which_is_another_task(scene: Scene) -> None:
    letter = dead(scene.ann)
    scene.ann.task(rerun_of=letter)
    with pytest.raises(IntegrityError), transaction.atomic():
        scene.ann.task(rerun_of=letter)
    with pytest.raises(IntegrityError, match="task_rerun_of_another"), transaction.atomic():
        Task.objects.for_tenant(scene.ann.tenant).filter(pk=letter.pk).update(rerun_of=letter)


def test_who_may_only_look_runs_nothing_again(client: Client, scene: Scene, queue: Queue) -> None:
    letter = dead(scene.ann)
    looking = colleague(client, "viewer")
    assert "Run the selected dead letters again" not in looking.get(reverse(LIST)).content.decode()
    assert "tasks are run again" not in press(looking, letter)
    assert not Task.objects.for_tenant(scene.ann.tenant).filter(rerun_of=letter).exists()
    assert "1 tasks are run again" in press(colleague(client, "tenant_administrator", scene.ann.tenant), letter)
    assert queue.signals().waiting == 1
