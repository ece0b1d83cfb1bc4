"""The list of tasks: filters, and pages that do not move while tasks come."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from agents.models import Task
from tests.api.conftest import Application, refused
from tests.scene import Scene

TASKS = "/api/v1/tasks"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(scene: Scene, *moments: datetime, **more: Any) -> list[str]:
    """Tasks accepted at these moments; their ids."""
    ids = []
    for moment in moments:
        task = scene.ann.task(**more)
        Task.objects.for_tenant(scene.ann.tenant).filter(pk=task.pk).update(created_at=moment)
        ids.append(str(task.pk))
    return ids


def test_pages_do_not_move_while_tasks_come_and_go(ann: Application, scene: Scene) -> None:
    # Seven of one moment, as a group commit makes them, between one older and one newer.
    older, newer = at(scene, NOON - timedelta(hours=1), NOON + timedelta(hours=1))
    group = at(scene, *[NOON] * 7)
    expected = [newer, *sorted(group, reverse=True), older]
    assert ann.names(TASKS, "id") == expected

    first = ann.get(TASKS, page_size=3).json()
    assert [row["id"] for row in first["results"]] == expected[:3]
    at(scene, NOON + timedelta(hours=2), NOON + timedelta(hours=3))
    seen = expected[:3]
    Task.objects.for_tenant(scene.ann.tenant).filter(pk=seen[-1]).delete()  # the very row that the cursor names
    page = first
    while page["next"] is not None:
        page = ann.get(page["next"]).json()
        seen += [row["id"] for row in page["results"]]
        at(scene, NOON + timedelta(hours=4))
    assert seen == expected


def test_the_last_page_says_so(ann: Application, scene: Scene) -> None:
    at(scene, NOON, NOON)
    assert ann.get(TASKS, page_size=2).json()["next"] is None
    assert ann.get(TASKS, page_size=3).json()["next"] is None
    assert ann.get(TASKS, page_size=1).json()["next"] is not None


def test_filters(ann: Application, scene: Scene) -> None:
    conversation = scene.ann.conversation()
    (plain,) = at(scene, NOON)
    (talk,) = at(scene, NOON + timedelta(hours=1), conversation=conversation)
    (tagged,) = at(scene, NOON + timedelta(hours=2), metadata={"user": "7", "team": "a"})
    (done,) = at(scene, NOON + timedelta(hours=3), state="succeeded", finished_at=timezone.now())
    (failed,) = at(scene, NOON + timedelta(hours=4), state="failed", finished_at=timezone.now())
    everything = [failed, done, tagged, talk, plain]
    for query, expected in [
        ({}, everything),
        ({"state": "succeeded"}, [done]),
        ({"state": ["succeeded", "failed"]}, [failed, done]),
        ({"agent": "poet"}, everything),
        ({"agent": "other"}, []),
        ({"conversation": str(conversation.pk)}, [talk]),
        ({"conversation": str(uuid.uuid4())}, []),
        ({"created_after": "2026-01-01T13:00:00Z"}, [failed, done, tagged]),
        ({"created_before": "2026-01-01T13:00:00Z"}, [plain]),
        ({"created_before": "2026-01-01T15:30:00+01:00", "created_after": "2026-01-01T13:00:00Z"}, [tagged]),
        ({"metadata.user": "7"}, [tagged]),
        ({"metadata.user": "7", "metadata.team": "b"}, []),
    ]:
        assert ann.names(TASKS, "id", **query, page_size=2) == expected, query
    row = ann.get(TASKS, state="succeeded").json()["results"][0]
    assert (row["agent"], row["revision"], row["pool"]) == ("poet", 1, scene.pool.slug)
    assert row["usage"] == {"prompt_tokens": 0, "completion_tokens": 0}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"colour": "red"}, "colour"),
        ({"metadata.": "x"}, "metadata."),
        ({"metadata.a": "\x00"}, "metadata.a"),
        ({"state": "done"}, "state"),
        ({"state": ["queued", "done"]}, "state"),
        ({"agent": "no spaces"}, "agent"),
        ({"agent": ""}, "agent"),
        ({"agent": ["a", "b"]}, "agent"),
        ({"conversation": "x"}, "conversation"),
        ({"created_after": "yesterday"}, "created_after"),
        ({"page_size": "0"}, "page_size"),
        ({"page_size": "201"}, "page_size"),
        ({"page_size": "many"}, "page_size"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": "é"}, "cursor"),
        ({"cursor": "bnVsbA"}, "cursor"),  # null
        ({"cursor": "cD0yMDI2"}, "cursor"),  # a cursor of another making
        ({"cursor": "WyIyMDI2LTAxLTAxVDEyOjAwOjAwIiwiMDE5MDAwMDAtMDAwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAwIl0"}, "cursor"),
    ],
)
def test_what_does_not_fit_is_named(ann: Application, query: dict[str, Any], field: str) -> None:
    refused(ann.get(TASKS, **query), 400, field)


def test_a_tenant_sees_its_own(ann: Application, bob: Application, scene: Scene) -> None:
    mine, theirs = scene.ann.task(metadata={"a": "1"}), scene.bob.task(metadata={"a": "1"})
    assert ann.names(TASKS, "id") == [str(mine.pk)]
    assert bob.names(TASKS, "id") == [str(theirs.pk)]
    assert bob.names(TASKS, "id", **{"metadata.a": "1"}) == [str(theirs.pk)]
    conversation = scene.ann.conversation()
    scene.ann.task(conversation=conversation)
    assert bob.names(TASKS, "id", conversation=str(conversation.pk)) == []


def test_a_cursor_of_another_tenant_s_shows_nothing_of_it(ann: Application, bob: Application, scene: Scene) -> None:
    at(scene, NOON, NOON, NOON)
    theirs = scene.bob.task()
    place = ann.get(TASKS, page_size=1).json()["next"]
    assert bob.get(place).json() == {"next": None, "results": []}
    assert bob.names(TASKS, "id") == [str(theirs.pk)]
