"""Drafts, what serves, and the history of that, by REST; and what Postgres holds of it."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from agents.models import Agent, AgentRevision, AppendOnly, Publication, TrafficShare
from agents.publications import publish, traffic
from agents.services import agent_of_pool, draft_revision
from tests.api.conftest import Application, refused
from tests.scene import Party, Scene

POET = "/api/v1/agents/poet"


def drafts(application: Application, *prompts: str) -> list[int]:
    return [application.post(f"{POET}/revisions", {"system_prompt": prompt}).json()["number"] for prompt in prompts]


def shares(application: Application) -> dict[int, int]:
    answer = application.get(f"{POET}/traffic")
    assert answer.status_code == 200
    return {share["revision"]: share["percent"] for share in answer.json()["shares"]}


def split(application: Application, **percents: int) -> Any:
    body = {"shares": [{"revision": int(name[1:]), "percent": percent} for name, percent in percents.items()]}
    return application.call("PUT", f"{POET}/traffic", body)


def test_an_agent_may_have_tools_and_a_form_of_output(ann: Application) -> None:
    both = {"output": {"kind": "json_object"}, "tools": [{"builtin": "calculator"}]}
    assert ann.post(f"{POET}/revisions", both).status_code == 201
    assert ann.patch(POET, both).status_code == 200
    now = ann.get(POET).json()["current_revision"]
    assert {name: now[name] for name in both} == both


def test_a_draft_serves_nobody_until_it_is_published(ann: Application) -> None:
    made = ann.post(f"{POET}/revisions", {"system_prompt": "Rhyme."})
    assert made.status_code == 201
    draft = made.json()
    assert (draft["number"], draft["published_at"], draft["percent"]) == (2, None, 0)
    assert draft["params"] == {"max_tokens": 8}  # as in the current one
    assert ann.get(f"{POET}/revisions/2").json() == draft
    assert ann.get(POET).json()["current_revision"]["number"] == 1
    assert shares(ann) == {1: 100}

    done = ann.call("POST", f"{POET}/revisions/2/publish")
    assert done.status_code == 200
    assert (done.json()["number"], done.json()["kind"], done.json()["shares"]) == (
        2, "publish", [{"revision": 2, "percent": 100}],
    )  # fmt: skip
    assert done.json()["published_by"].startswith("test (ops_")
    rows = ann.get(f"{POET}/revisions").json()["results"]
    assert [(row["number"], row["percent"], row["published_at"] is None) for row in rows] == [
        (2, 100, False),
        (1, 0, False),
    ]
    assert ann.get(POET).json()["current_revision"]["number"] == 2
    again = ann.call("POST", f"{POET}/revisions/2/publish")
    assert again.json() == done.json()  # no change, nothing recorded


def test_a_split_and_the_way_back(ann: Application) -> None:
    drafts(ann, "Rhyme.", "Do not rhyme.")
    assert split(ann, r1=90, r2=10).json()["kind"] == "split"
    assert shares(ann) == {1: 90, 2: 10}
    assert ann.get(POET).json()["current_revision"]["number"] == 1
    assert split(ann, r2=50, r3=50).status_code == 200
    assert ann.get(POET).json()["current_revision"]["number"] == 3  # of equals the latest
    assert [row["percent"] for row in ann.get(f"{POET}/revisions").json()["results"]] == [50, 50, 0]

    assert ann.post(f"{POET}/roll-back", {}).json()["kind"] == "roll_back"
    assert shares(ann) == {1: 90, 2: 10}
    assert ann.call("POST", f"{POET}/roll-back").json()["shares"] == [  # without a body, too
        {"revision": 2, "percent": 50}, {"revision": 3, "percent": 50},
    ]  # fmt: skip
    assert ann.post(f"{POET}/roll-back", {"publication": 1}).status_code == 200
    assert shares(ann) == {1: 100}
    history = ann.get(f"{POET}/publications").json()["results"]
    assert [(row["number"], row["kind"]) for row in history] == [
        (6, "roll_back"), (5, "roll_back"), (4, "roll_back"), (3, "split"), (2, "split"), (1, "publish"),
    ]  # fmt: skip
    assert ann.names(f"{POET}/publications", "number", page_size=2) == [6, 5, 4, 3, 2, 1]


def test_publishing_an_earlier_revision_is_told_as_a_roll_back(ann: Application) -> None:
    ann.patch(POET, {"system_prompt": "Rhyme."})
    assert ann.call("POST", f"{POET}/revisions/1/publish").json()["kind"] == "roll_back"
    assert ann.get(f"{POET}/revisions/2").json()["percent"] == 0
    (draft,) = drafts(ann, "Sing.")
    assert ann.call("POST", f"{POET}/revisions/{draft}/publish").json()["kind"] == "publish"


def test_a_change_of_the_agent_ends_a_split_and_a_change_of_its_name_does_not(ann: Application) -> None:
    drafts(ann, "Rhyme.")
    split(ann, r1=90, r2=10)
    assert ann.patch(POET, {"name": "The poet"}).status_code == 200
    assert shares(ann) == {1: 90, 2: 10}
    assert ann.patch(POET, {"system_prompt": "Sing."}).json()["current_revision"]["number"] == 3
    assert shares(ann) == {3: 100}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"shares": [{"revision": 1, "percent": 90}]}, "shares"),
        ({"shares": [{"revision": 1, "percent": 90}, {"revision": 2, "percent": 11}]}, "shares"),
        ({"shares": [{"revision": 1, "percent": 50}, {"revision": 1, "percent": 50}]}, "shares"),
        ({"shares": [{"revision": 1, "percent": 50}, {"revision": 7, "percent": 50}]}, "shares"),
        ({"shares": [{"revision": 1, "percent": 100}, {"revision": 2, "percent": 0}]}, "shares.1.percent"),
        ({"shares": [{"revision": 1, "percent": 100}, {"revision": 2, "percent": 0.5}]}, "shares.1.percent"),
        ({"shares": []}, "shares"),
        ({}, "shares"),
        ({"shares": [{"revision": 1, "percent": 100, "colour": "red"}]}, "colour"),
    ],
)  # fmt: skip
def test_a_split_that_does_not_fit_is_named(ann: Application, body: Any, field: str) -> None:
    drafts(ann, "Rhyme.")
    answer = ann.call("PUT", f"{POET}/traffic", body)
    assert {error["field"] for error in refused(answer, 400)["errors"]} == {field}
    assert shares(ann) == {1: 100}


def test_what_there_is_not_is_refused(ann: Application, scene: Scene) -> None:
    refused(ann.post(f"{POET}/roll-back", {}), 409, code="nothing_before")
    refused(ann.post(f"{POET}/roll-back", {"publication": 9}), 400, "publication")
    for path in ("revisions/9/publish", "revisions/0/publish", "revisions/999999999/publish"):
        refused(ann.call("POST", f"{POET}/{path}"), 404)
    refused(ann.get(f"{POET}/revisions/9"), 404)
    refused(ann.post(f"{POET}/revisions", {"params": {"temprature": 1}}), 400, "params.temprature")
    refused(ann.post(f"{POET}/revisions", {"pool": "nowhere"}), 400, "pool")
    standing = agent_of_pool(tenant_id=scene.ann.tenant.pk, pool_slug=scene.pool.slug)
    for answer in (
        ann.post(f"/api/v1/agents/{standing}/revisions", {"system_prompt": "x"}),
        ann.call("POST", f"/api/v1/agents/{standing}/revisions/1/publish"),
        ann.post(f"/api/v1/agents/{standing}/roll-back", {}),
    ):
        refused(answer, 409, code="stands_for_pool")


def test_another_tenant_s_revisions_do_not_exist(ann: Application, bob: Application) -> None:
    ann.post("/api/v1/agents", {"slug": "bard", "pool": ann.get(POET).json()["current_revision"]["pool"]})
    for method, path, body in [
        ("GET", "revisions", None), ("POST", "revisions", {"system_prompt": "x"}), ("GET", "revisions/1", None),
        ("POST", "revisions/1/publish", None), ("GET", "traffic", None), ("GET", "publications", None),
        ("PUT", "traffic", {"shares": [{"revision": 1, "percent": 100}]}), ("POST", "roll-back", {}),
    ]:  # fmt: skip
        refused(bob.call(method, f"/api/v1/agents/bard/{path}", body), 404)
    assert [row["number"] for row in ann.get("/api/v1/agents/bard/publications").json()["results"]] == [1]


def _publication(party: Party, number: int) -> Publication:
    return Publication.objects.create(tenant=party.tenant, agent=party.agent, number=number, kind="split")


def _decide(party: Party, *percents: tuple[AgentRevision | None, int]) -> None:
    with transaction.atomic():
        publication = Publication.objects.create(tenant=party.tenant, agent=party.agent, number=2, kind="split")
        for revision, percent in percents:
            TrafficShare.objects.create(
                tenant=party.tenant, publication=publication, revision=revision, percent=percent
            )
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # as at the commit


def test_postgres_takes_no_part_of_a_hundred_and_no_stranger(scene: Scene) -> None:
    own, other = scene.ann.agent.current_revision, scene.bob.agent.current_revision
    for percents in ([], [(own, 99)], [(own, 50), (other, 50)]):
        with pytest.raises(DatabaseError, match="shares sum to"):
            _decide(scene.ann, *percents)
    assert traffic(scene.ann.agent) == Publication.objects.for_tenant(scene.ann.tenant).get()


@pytest.mark.parametrize("table", ["agents_publication", "agents_trafficshare"])
@pytest.mark.parametrize("change", ["DELETE FROM {}", "UPDATE {} SET tenant_id = tenant_id"])
def test_postgres_rewrites_no_history(scene: Scene, table: str, change: str) -> None:
    with pytest.raises(DatabaseError, match="is history"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change.format(table))


def test_what_was_published_is_not_saved_again(scene: Scene) -> None:
    for model in (Publication, TrafficShare):
        with pytest.raises(AppendOnly, match="publish again"):
            model.objects.for_tenant(scene.ann.tenant).get().save()


@pytest.mark.django_db(transaction=True)
def test_decisions_at_the_same_time_come_one_after_the_other(database_url: str) -> None:
    scene = Scene.make()
    agent = Agent.objects.for_tenant(scene.ann.tenant).get()
    numbers = [
        draft_revision(agent=agent, tenant=scene.ann.tenant, changes={"system_prompt": str(n)}, created_by="t").number
        for n in range(4)
    ]
    together = threading.Barrier(len(numbers))

    def decide(number: int) -> None:
        try:
            together.wait(20)
            publish(agent=agent, number=number, published_by="test")
        finally:
            connection.close()

    threads = [threading.Thread(target=decide, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    rows = list(Publication.objects.for_tenant(scene.ann.tenant).order_by("number"))
    assert [row.number for row in rows] == [1, 2, 3, 4, 5]
    last = rows[-1].shares.get().revision
    assert Agent.objects.for_tenant(scene.ann.tenant).get().current_revision == last
    assert AgentRevision.objects.for_tenant(scene.ann.tenant).count() == 5
