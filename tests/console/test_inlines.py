"""A page shows so many rows of its object's history, and the way to the others."""

from __future__ import annotations

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from agents.models import Message, Turn
from staff.inlines import SHOWN
from tests.scene import Scene

MANY = 3 * SHOWN


def test_a_long_conversation_s_page_shows_its_newest_messages(operator: Client, scene: Scene) -> None:
    conversation = scene.ann.conversation()
    Message.objects.bulk_create(
        Message(
            tenant=scene.ann.tenant, conversation=conversation, number=number, role="user", content=f"said-{number}."
        )
        for number in range(1, MANY + 1)
    )
    page = operator.get(reverse("admin:agents_conversation_change", args=[conversation.pk])).content.decode()
    shown = [number for number in range(1, MANY + 1) if f"said-{number}." in page]
    assert shown == list(range(MANY - SHOWN + 1, MANY + 1))
    url = f"/console/agents/message/?conversation__id__exact={conversation.pk}"
    assert f'<a href="{url}">all in a list</a>' in page
    assert operator.get(url).context_data["cl"].size.number == MANY  # type: ignore[attr-defined]


def test_a_task_of_many_turns_asks_for_the_first_ones_alone(operator: Client, scene: Scene) -> None:
    task = scene.ann.task()
    Turn.objects.for_tenant(scene.ann.tenant).filter(task=task).update(number=1)
    Turn.objects.bulk_create(
        Turn(tenant=scene.ann.tenant, task=task, number=number, queued_at=timezone.now(), worker=f"worker-{number}.")
        for number in range(2, MANY + 1)
    )
    url = reverse("admin:agents_task_change", args=[task.pk])
    with CaptureQueriesContext(connection) as seen:
        page = operator.get(url).content.decode()
    assert [number for number in range(2, MANY + 1) if f"worker-{number}." in page] == list(range(2, SHOWN + 1))
    reads = [query["sql"] for query in seen if 'FROM "agents_turn"' in query["sql"] and "COUNT(" not in query["sql"]]
    assert reads
    assert all("LIMIT" in sql for sql in reads), reads
    assert f"/console/agents/turn/?task__id__exact={task.pk}" in page
