"""Agents by REST: made, revised, archived, and nobody else's."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection

from agents.models import Agent, AgentRevision
from agents.services import agent_of_pool, change_agent
from orchestrator.models import Pool
from tenants.services import issue_key
from tests.api.conftest import Application, refused
from tests.scene import Party, Scene

AGENTS = "/api/v1/agents"


def test_the_life_of_an_agent(ann: Application, scene: Scene) -> None:
    made = ann.post(
        AGENTS, {"slug": "bard", "pool": scene.pool.slug, "system_prompt": " Rhyme.\n", "params": {"max_tokens": 9}}
    )
    assert made.status_code == 201
    agent = made.json()
    assert (agent["slug"], agent["name"], agent["archived_at"]) == ("bard", "bard", None)
    revision = agent["current_revision"]
    assert (revision["number"], revision["pool"], revision["params"]) == (1, scene.pool.slug, {"max_tokens": 9})
    assert revision["system_prompt"] == " Rhyme.\n"  # a prompt is taken to the letter
    assert revision["created_by"].startswith("test (ops_")
    assert ann.get(f"{AGENTS}/bard").json() == agent

    changed = ann.patch(f"{AGENTS}/bard", {"system_prompt": "Do not rhyme.", "name": "The bard"})
    assert (changed.status_code, changed.json()["name"]) == (200, "The bard")
    after = changed.json()["current_revision"]
    assert (after["number"], after["system_prompt"], after["params"]) == (2, "Do not rhyme.", {"max_tokens": 9})
    same = ann.patch(f"{AGENTS}/bard", {"system_prompt": "Do not rhyme."}).json()["current_revision"]
    assert same["id"] == after["id"]  # no change, no revision
    revisions = ann.get(f"{AGENTS}/bard/revisions").json()["results"]
    assert [(row["number"], row["system_prompt"]) for row in revisions] == [(2, "Do not rhyme."), (1, " Rhyme.\n")]

    assert ann.delete(f"{AGENTS}/bard").status_code == 204
    assert ann.names(AGENTS, "slug") == ["poet"]
    assert ann.names(AGENTS, "slug", archived="true") == ["bard"]
    assert ann.get(f"{AGENTS}/bard").json()["archived_at"] is not None


def test_a_slug_is_taken_once_per_tenant(ann: Application, bob: Application, scene: Scene) -> None:
    body = {"slug": "bard", "pool": scene.pool.slug}
    assert ann.post(AGENTS, body).status_code == 201
    refused(ann.post(AGENTS, body), 409, "slug", "conflict")
    assert ann.delete(f"{AGENTS}/bard").status_code == 204
    assert "archived" in refused(ann.post(AGENTS, body), 409, "slug")["detail"]
    assert bob.post(AGENTS, body).status_code == 201
    assert Agent.objects.for_tenant(scene.ann.tenant).count() == 2


def _body(scene: Scene, **more: Any) -> dict[str, Any]:
    return {"slug": "bard", "pool": scene.pool.slug, **more}


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"slug": "no spaces"}, "slug"),
        ({"slug": "x" * 64}, "slug"),
        ({"slug": None}, "slug"),
        ({"pool": "nowhere"}, "pool"),
        ({"params": {"temprature": 1}}, "params.temprature"),
        ({"params": {"temperature": 3}}, "params.temperature"),
        ({"params": {"stop": 5}}, "params.stop"),
        ({"params": []}, "params"),
        ({"system_prompt": 5.5, "colour": "red"}, "colour"),
        ({"system_prompt": "a\x00b"}, "system_prompt"),
        ({"params": {"stop": ["\x00"]}}, "params.stop[0]"),
        ({"name": ""}, "name"),
    ],
)
def test_what_does_not_fit_is_named(ann: Application, scene: Scene, more: dict[str, Any], field: str) -> None:
    refused(ann.post(AGENTS, _body(scene, **more)), 400, field)
    assert Agent.objects.for_tenant(scene.ann.tenant).count() == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [({"slug": "other"}, "slug"), ({"pool": "nowhere"}, "pool"), ({"params": {"top_p": 2}}, "params.top_p")],
)
def test_a_change_that_does_not_fit_changes_nothing(
    ann: Application, scene: Scene, change: dict[str, Any], field: str
) -> None:
    refused(ann.patch(f"{AGENTS}/poet", {"name": "Other", **change}), 400, field)
    agent = Agent.objects.for_tenant(scene.ann.tenant).get()
    assert agent.name == "Poet"
    assert AgentRevision.objects.for_tenant(scene.ann.tenant).count() == 1


def test_another_tenant_s_agent_does_not_exist(ann: Application, bob: Application, scene: Scene) -> None:
    assert ann.post(AGENTS, _body(scene)).status_code == 201
    assert bob.names(AGENTS, "slug") == ["poet"]
    assert {row["id"] for row in bob.get(AGENTS).json()["results"]} == {str(scene.bob.agent.pk)}
    for method, path, body in [
        ("GET", f"{AGENTS}/bard", None),
        ("GET", f"{AGENTS}/bard/revisions", None),
        ("PATCH", f"{AGENTS}/bard", {"name": "Mine"}),
        ("DELETE", f"{AGENTS}/bard", None),
    ]:
        theirs = refused(bob.call(method, path, body), 404)
        assert theirs == refused(bob.call(method, path.replace("bard", "nobody"), body), 404)
    agent = Agent.objects.for_tenant(scene.ann.tenant).get(slug="bard")
    assert (agent.name, agent.archived_at) == ("bard", None)


def test_a_pool_of_another_tenant_s_does_not_exist(ann: Application, bob: Application, scene: Scene) -> None:
    Pool.objects.filter(pk=scene.pool.pk).update(tenant=scene.ann.tenant)
    problem = refused(bob.post(AGENTS, _body(scene)), 400, "pool")
    assert problem["detail"].endswith("usable are none yet")
    assert ann.post(AGENTS, _body(scene)).status_code == 201


def test_scopes(ann: Application, scene: Scene) -> None:
    for scopes, reads, writes in [
        (["agents:read"], 200, 403),
        (["agents:write"], 403, 200),
        (["tasks:read", "tasks:write"], 403, 403),
        ([], 200, 200),
    ]:
        key = issue_key(tenant=scene.ann.tenant, name="scoped", scopes=scopes).secret
        scoped = Application(Party(scene.ann.tenant, scene.ann.agent, key), ann.client)
        read, written = scoped.get(AGENTS), scoped.patch(f"{AGENTS}/poet", {"name": "Poet"})
        assert (read.status_code, written.status_code) == (reads, writes), scopes
        for answer, scope in ((read, "agents:read"), (written, "agents:write")):
            if answer.status_code == 403:
                assert scope in refused(answer, 403, code="missing_scope")["detail"]


@pytest.mark.django_db(transaction=True)
def test_two_changes_at_a_time_are_both_kept(database_url: str) -> None:
    scene = Scene.make()

    def change(**changes: Any) -> None:
        try:
            agent = Agent.objects.for_tenant(scene.ann.tenant).get()
            read.wait(20)
            change_agent(agent=agent, tenant=scene.ann.tenant, changes=changes, changed_by="test")
        finally:
            connection.close()

    read = threading.Barrier(2)
    threads = [
        threading.Thread(target=change, kwargs=changes)
        for changes in ({"system_prompt": "Rhyme."}, {"params": {"max_tokens": 3}})
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    revision = Agent.objects.for_tenant(scene.ann.tenant).get().current_revision
    assert revision is not None
    assert (revision.number, revision.system_prompt, revision.params) == (3, "Rhyme.", {"max_tokens": 3})


def test_two_pools_never_share_an_agent(scene: Scene) -> None:
    names = ["a.b", "a-b", "x" * 60 + "1", "x" * 60 + "2"]
    pools = [Pool.objects.create(slug=name, name=name, engine=Pool.Engine.SIMULATED) for name in names]
    slugs = [agent_of_pool(tenant_id=scene.ann.tenant.pk, pool_slug=pool.slug) for pool in pools]
    assert slugs == [agent_of_pool(tenant_id=scene.ann.tenant.pk, pool_slug=pool.slug) for pool in pools]
    for pool, slug in zip(pools, slugs, strict=True):
        agent = Agent.objects.for_tenant(scene.ann.tenant).get(slug=slug)
        assert agent.current_revision is not None
        assert agent.current_revision.pool == pool


def test_an_agent_of_the_tenant_s_own_never_stands_for_a_pool(ann: Application, scene: Scene) -> None:
    pool = scene.pool.slug
    named_alike = f"pool-{pool}"
    assert ann.post(AGENTS, _body(scene) | {"slug": named_alike, "system_prompt": "Rhyme."}).status_code == 201
    standing = agent_of_pool(tenant_id=scene.ann.tenant.pk, pool_slug=pool)
    assert standing != named_alike
    assert agent_of_pool(tenant_id=scene.ann.tenant.pk, pool_slug=pool) == standing
    assert ann.get(f"{AGENTS}/{standing}").json()["current_revision"]["system_prompt"] == ""


def test_what_stands_for_a_pool_stays_as_it_was_made(ann: Application, scene: Scene) -> None:
    standing = agent_of_pool(tenant_id=scene.ann.tenant.pk, pool_slug=scene.pool.slug)
    for answer in (ann.patch(f"{AGENTS}/{standing}", {"system_prompt": "x"}), ann.delete(f"{AGENTS}/{standing}")):
        refused(answer, 409, code="stands_for_pool")
    agent = ann.get(f"{AGENTS}/{standing}").json()
    assert (agent["current_revision"]["number"], agent["archived_at"]) == (1, None)


@pytest.mark.django_db(transaction=True)
def test_a_pool_asked_for_by_many_at_a_time_gets_one_agent(database_url: str) -> None:
    scene = Scene.make()
    together = threading.Barrier(4)
    slugs: list[str] = []

    def ask() -> None:
        try:
            together.wait(20)
            slugs.append(agent_of_pool(tenant_id=scene.ann.tenant.pk, pool_slug=scene.pool.slug))
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(together.parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    (standing,) = Agent.objects.for_tenant(scene.ann.tenant).filter(stands_for=scene.pool)
    assert slugs == [standing.slug] * together.parties
