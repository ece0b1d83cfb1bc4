"""Input sets and comparisons by REST: made, refused, and nobody else's."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from comparisons.models import Comparison, ComparisonRun, InputSet
from tenants.services import issue_key
from tests.api.conftest import Application, ann, bob, refused
from tests.scene import Party, Scene

__all__ = ["ann", "bob"]  # fixtures
SETS, COMPARISONS = "/api/v1/input-sets", "/api/v1/comparisons"
ITEMS: list[Any] = [
    {"input": "2 + 2?", "checks": {"text": "4"}},
    {"messages": [{"role": "user", "content": "As JSON?"}], "checks": {"json": {"sum": 4}}},
    {"input": "Hello"},
]


def saved(application: Application, **more: Any) -> Any:
    return application.post(SETS, {"agent": "poet", "name": "sums", "items": ITEMS, **more})


def compared(application: Application, input_set: str, **more: Any) -> Any:
    return application.post(COMPARISONS, {"input_set": input_set, "left": 1, "right": 2, **more})


def test_a_set_and_a_comparison_are_made(ann: Application, scene: Scene) -> None:
    made = saved(ann)
    assert made.status_code == 201, made.content
    input_set = made.json()
    assert [item["messages"][0]["content"] for item in input_set["items"]] == ["2 + 2?", "As JSON?", "Hello"]
    assert [item["checks"] for item in input_set["items"]] == [{"text": "4"}, {"json": {"sum": 4}}, {}]
    assert ann.get(f"{SETS}/{input_set['id']}").json() == input_set
    assert ann.names(SETS, "name", agent="poet") == ["sums"]
    ann.post("/api/v1/agents/poet/revisions", {"system_prompt": "Add."})
    comparison = compared(ann, input_set["id"])
    assert comparison.status_code == 201, comparison.content
    path = f"{COMPARISONS}/{comparison.json()['id']}"
    found = ann.get(path).json()
    assert (found["left"], found["right"], found["state"], found["agent"]) == (1, 2, "running", "poet")
    assert (found["totals"]["left"]["runs"], found["totals"]["left"]["total_s"], found["totals"]["differ"]) == (
        3,
        None,
        0,
    )
    assert ComparisonRun.objects.for_tenant(scene.ann.tenant).count() == 6
    page = ann.get(f"{path}/report", count=2).json()
    assert (page["next"], [item["number"] for item in page["results"]]) == (2, [1, 2])
    last = ann.get(f"{path}/report", after=2).json()
    assert (last["next"], [item["number"] for item in last["results"]]) == (None, [3])
    assert ann.get(f"{path}/report", after=3).json() == {"next": None, "results": []}
    assert ann.names(COMPARISONS, "id", agent="poet") == [found["id"]]
    refused(ann.delete(f"{SETS}/{input_set['id']}"), 409, code="in_use")
    assert ann.delete(path).status_code == 204
    assert ann.delete(f"{SETS}/{input_set['id']}").status_code == 204
    assert not ComparisonRun.objects.for_tenant(scene.ann.tenant).exists()


@pytest.mark.parametrize(
    ("items", "field"),
    [
        ([{}], "items[0].input"), ([{"input": "x"}, {"input": "x", "messages": []}], "items[1].input"),
        ([{"input": 5}], "items[0].messages[0].content"), ([{"messages": []}], "items[0].messages"),
        ([{"messages": [{"role": "robot", "content": "x"}]}], "items[0].messages[0].role"),
        ([{"input": "x", "colour": 1}], "items[0].colour"), ([{"input": "x", "checks": {"regex": "("}}], "items[0].checks.regex"),
        ([{"input": "x", "checks": {"colour": 1}}], "items[0].checks"), ([], "items"),
    ],
)  # fmt: skip
def test_an_item_that_does_not_fit_is_named(ann: Application, scene: Scene, items: Any, field: str) -> None:
    refused(saved(ann, items=items), 400, field)
    assert not InputSet.objects.for_tenant(scene.ann.tenant).exists()


def test_what_does_not_fit_is_named(ann: Application) -> None:
    input_set = saved(ann).json()["id"]
    refused(saved(ann), 409, "name", "conflict")
    refused(saved(ann, agent="nobody"), 400, "agent")
    refused(compared(ann, input_set), 400, "right")  # there is one revision
    refused(compared(ann, input_set, right=1), 400, "right")
    refused(compared(ann, input_set, left=9), 400, "left")
    refused(compared(ann, str(uuid.uuid4())), 400, "input_set")
    refused(compared(ann, "x"), 400, "input_set")


def test_they_are_their_tenant_s(ann: Application, bob: Application) -> None:
    input_set = saved(ann).json()["id"]
    ann.post("/api/v1/agents/poet/revisions", {"system_prompt": "Add."})
    comparison = compared(ann, input_set).json()["id"]
    assert (bob.names(SETS, "id"), bob.names(COMPARISONS, "id")) == ([], [])
    refused(compared(bob, input_set), 400, "input_set")
    for method, path in [
        ("GET", f"{SETS}/{input_set}"), ("DELETE", f"{SETS}/{input_set}"), ("GET", f"{COMPARISONS}/{comparison}"),
        ("GET", f"{COMPARISONS}/{comparison}/report"), ("GET", f"{COMPARISONS}/{comparison}/csv"),
        ("DELETE", f"{COMPARISONS}/{comparison}"),
    ]:  # fmt: skip
        refused(bob.call(method, path), 404)
    assert ann.get(f"{COMPARISONS}/{comparison}").status_code == 200


def test_scopes(ann: Application, scene: Scene) -> None:
    input_set = saved(ann).json()["id"]
    ann.post("/api/v1/agents/poet/revisions", {"system_prompt": "Add."})
    for scopes, reads, writes in [
        (["comparisons:read"], 200, 403), (["comparisons:write"], 403, 403),  # it would submit what its key may not
        (["comparisons:write", "tasks:write"], 403, 201), (["agents:write"], 403, 403),
    ]:  # fmt: skip
        key = issue_key(tenant=scene.ann.tenant, name="scoped", scopes=scopes).secret
        scoped = Application(Party(scene.ann.tenant, scene.ann.agent, key), ann.client)
        assert (scoped.get(SETS).status_code, compared(scoped, input_set).status_code) == (reads, writes), scopes


def test_postgres_holds_what_a_comparison_is(ann: Application, scene: Scene) -> None:
    input_set = saved(ann).json()["id"]
    ann.post("/api/v1/agents/poet/revisions", {"system_prompt": "Add."})
    compared(ann, input_set)
    rows = Comparison.objects.for_tenant(scene.ann.tenant)
    comparison = rows.get()
    for wrong in ({"right": comparison.left}, {"state": "done"}, {"state": "lost"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            rows.update(**wrong)
    with pytest.raises(IntegrityError), transaction.atomic():
        ComparisonRun.objects.create(tenant=scene.ann.tenant, comparison=comparison, number=1, side="left")
