"""A query on a tenant's data that names no tenant raises, whatever way it takes to the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps

from agents.models import Task, Turn
from tenants.scoping import TenantOwned, UnscopedQuery, tenant_scope
from tests.scene import Scene

OWNED = [model for model in apps.get_models() if issubclass(model, TenantOwned)]
WAYS: dict[str, Callable[[Any], Any]] = {
    "list": list,
    "count": lambda rows: rows.count(),
    "exists": lambda rows: rows.exists(),
    "first": lambda rows: rows.first(),
    "get": lambda rows: rows.get(pk__isnull=False),
    "iterator": lambda rows: list(rows.iterator()),
    "values": lambda rows: list(rows.values("pk")),
    "filter": lambda rows: list(rows.filter(pk__isnull=False)),
    "update": lambda rows: rows.update(created_at=None),
    "delete": lambda rows: rows.delete(),
    "aggregate": lambda rows: rows.aggregate(n=__import__("django.db.models").db.models.Count("pk")),
    "slice": lambda rows: list(rows[:1]),
    "bool": bool,
    "in_bulk": lambda rows: rows.in_bulk(),
}


def test_there_is_something_to_guard() -> None:
    assert {model.__name__ for model in OWNED} == {
        "ApiKey", "Agent", "AgentRevision", "Conversation", "Message", "Task", "Turn", "AnswerLength", "Secret",
        "Endpoint", "Delivery", "Attempt", "UsageHour", "ServedHour", "GpuHour", "Budget", "BudgetNotice",
        "McpServer", "Tool", "ToolCall", "Publication", "TrafficShare", "StoredResponse", "InputSet", "Comparison", "ComparisonRun",
        "Schedule", "Firing", "File", "FileChunk", "Batch", "Line", "FurtherTask", "Collection", "Document", "Chunk",
        "EmbeddingTask", "Summary", "Reply",
    }  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("model", OWNED, ids=lambda model: model.__name__)
def test_unscoped_raises(db: None, model: Any, way: str) -> None:
    with pytest.raises(UnscopedQuery, match="for_tenant"):
        WAYS[way](model.objects.all())


def test_each_tenant_sees_its_own(scene: Scene) -> None:
    mine, theirs = scene.ann.task(), scene.bob.task()
    assert list(Task.objects.for_tenant(scene.ann.tenant)) == [mine]
    with tenant_scope(scene.bob.tenant):
        assert list(Task.objects.all()) == [theirs]
        assert Task.objects.count() == 1
    assert set(Task.objects.across_tenants()) >= {mine, theirs}
    with pytest.raises(UnscopedQuery):
        Task.objects.count()


def test_a_relation_of_an_object_in_hand_is_scoped(scene: Scene) -> None:
    task = scene.ann.task()
    assert [turn.task_id for turn in task.turns.all()] == [task.pk]
    assert task.turns.count() == 1
    assert Turn.objects.for_tenant(scene.bob.tenant).count() == 0


def test_an_update_in_a_scope_stays_in_it(scene: Scene) -> None:
    mine, theirs = scene.ann.task(), scene.bob.task()
    with tenant_scope(scene.ann.tenant):
        assert Task.objects.update(priority=9) == 1
    mine.refresh_from_db()
    theirs.refresh_from_db()
    assert (mine.priority, theirs.priority) == (9, 5)
