"""Tasks of several pools are cancelled while Redis comes and goes: what was done is told and written down, what was not is told."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from agents import cancelling
from agents.models import Task
from audit.models import Entry
from taskqueue.failures import QueueUnavailable
from taskqueue.messages import Submission, TurnBody
from taskqueue.sync_client import Queue
from tests.scene import Scene
from tests.staff.members import at_the_console


@pytest.fixture
def scenes(db: None) -> list[Scene]:
    """Two pools, in the order in which they are asked."""
    return [Scene.make(), Scene.make()]


@pytest.fixture
def tasks(scenes: list[Scene], redis_url: str) -> list[Task]:
    """Two that wait in each pool."""
    made = []
    for scene in scenes:
        queue = Queue(redis_url, scene.pool.slug)
        some = [scene.ann.task() for _ in range(2)]
        queue.enqueue(
            [
                Submission(
                    turn=str(task.turns.get().pk),
                    task=str(task.pk),
                    tenant=str(task.tenant_id),
                    body=TurnBody(prompt="x"),
                )
                for task in some
            ]
        )
        queue.close()
        made += some
    return made


@pytest.fixture
def operator(db: None) -> Client:
    return at_the_console("operator")


def leaves_at(monkeypatch: pytest.MonkeyPatch, pool: str, call: str) -> None:
    """Redis goes away when it is asked this of this pool."""

    class Leaving(Queue):
        def known(self, *asked: Any) -> Any:
            return self._or_leave("known", *asked)

        def cancel(self, *asked: Any) -> Any:  # type: ignore[override]
            return self._or_leave("cancel", *asked)

        def _or_leave(self, name: str, *asked: Any) -> Any:
            if (self.pool, name) == (pool, call):
                raise QueueUnavailable("gone")
            return getattr(super(), name)(*asked)

    monkeypatch.setattr(cancelling, "Queue", Leaving)


def press(client: Client, tasks: list[Task]) -> str:
    asked = {"action": "cancel", "_selected_action": [str(task.pk) for task in tasks]}
    return client.post(reverse("admin:agents_task_changelist"), asked, follow=True).content.decode()


def noted() -> dict[str, Any]:
    return {entry.object_id: entry.after for entry in Entry.objects.filter(action="task.cancel")}


def test_what_was_done_before_redis_left_is_told_and_written_down(
    scenes: list[Scene], tasks: list[Task], operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = (
        cancelling.Task.objects.across_tenants()
        .filter(pk__in=[task.pk for task in tasks])
        .order_by("-created_at", "-pk")
    )
    first, second = [[task for task in rows if task.pool_id == scene.pool.pk] for scene in reversed(scenes)]
    with monkeypatch.context() as patched:
        leaves_at(patched, scenes[0].pool.slug, "known")  # the newest come first
        said = press(operator, tasks)
    assert "2 tasks were waiting or running and are ending." in said
    assert "Redis does not answer: 2 tasks were not cancelled: " in said
    assert "nothing was cancelled" not in said
    assert noted() == {str(task.pk): None for task in first}
    assert "2 tasks were waiting or running and are ending." in press(operator, tasks), "the others, by a second try"
    assert noted() == {str(task.pk): None for task in (*first, *second)}


def test_who_was_asked_and_did_not_answer_may_be_ending(
    scenes: list[Scene], tasks: list[Task], operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaves_at(monkeypatch, scenes[1].pool.slug, "cancel")
    said = press(operator, tasks)
    assert "Redis does not answer: 2 tasks were not cancelled: " in said
    assert "Whether 2 tasks are ending is not known: " in said
    assert noted() == {str(task.pk): cancelling.UNSURE for task in tasks[2:]}


def test_what_redis_has_ended_before_it_left_is_written_down(
    scenes: list[Scene], tasks: list[Task], redis_url: str, operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two tasks of one pool the one is ended by its turn; the other, whose turn is unknown, needs a second call."""
    older, newer = tasks[:2]
    Task.objects.across_tenants().filter(pk=newer.pk).update(state="waiting")  # between two turns; it comes first
    queue = Queue(redis_url, scenes[0].pool.slug)
    queue.cancel([str(newer.turns.get().pk)])  # over: only its task can be ended

    class Leaving(Queue):
        def end_task(self, *asked: Any, **more: Any) -> Any:
            raise QueueUnavailable("gone")

    monkeypatch.setattr(cancelling, "Queue", Leaving)
    said = press(operator, [older, newer])
    assert queue.cancel([str(older.turns.get().pk)]) == ["over"], "it was cancelled"
    queue.close()
    assert noted() == {str(older.pk): None, str(newer.pk): cancelling.UNSURE}
    assert "1 tasks were waiting or running and are ending." in said
    assert "Whether 1 tasks are ending is not known: " in said
    assert "not cancelled" not in said


def test_where_redis_is_away_from_the_beginning_nothing_is_done(
    tasks: list[Task], operator: Client, settings: Any
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert "Redis does not answer: nothing was cancelled." in press(operator, tasks)
    assert noted() == {}


def test_a_tenant_s_open_tasks_are_counted_as_far_as_redis_answered(
    scenes: list[Scene], tasks: list[Task], operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = scenes[0].ann.tenant
    monkeypatch.setattr(cancelling, "CANCELLED_AT_ONCE", 1)
    asked = cancelling.cancel_tasks
    monkeypatch.setattr(
        cancelling, "cancel_tasks",
        lambda **those: cancelling.Cancelled(untried=those["tasks"]) if those["tasks"][0] == tasks[1] else asked(**those),
    )  # fmt: skip
    url = reverse("console:tenant_suspend", args=[tenant.console_name])
    said = operator.post(url, {"cancel": "on"}, follow=True).content.decode()
    assert "Redis does not answer: 1 of its tasks are ending, others were not cancelled." in said
    (entry,) = Entry.objects.filter(action="tenant.cancel_open_tasks")
    assert (entry.object_id, entry.after) == (str(tenant.pk), {"ending": 1, "all": False})
