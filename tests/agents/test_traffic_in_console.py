"""Revisions in the console: saved as drafts, published, split and gone back from, each after a question."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from agents.models import Agent, AgentRevision, Publication
from agents.publications import traffic
from agents.revision_admin import in_words
from tests.scene import Scene
from tests.staff.members import member


def shares(scene: Scene) -> str:
    return in_words(traffic(scene.ann.agent))


def ask(client: Client, name: str, pk: object, **answers: str) -> str:
    """Open the dialog, submit it; what it says then, or where it leads."""
    url = reverse(f"admin:{name}", args=[pk])
    assert "dialog-form" in client.get(url).content.decode()
    answer = client.post(url, {"_form_submitted": "True", **answers})
    assert answer.status_code == 200
    if "HX-Redirect" not in answer.headers:
        return answer.content.decode()
    return client.get(answer.headers["HX-Redirect"]).content.decode()


def save(client: Client, scene: Scene, prompt: str, **more: str) -> str:
    form = {"name": "Poet", "pool": str(scene.pool.pk), "system_prompt": prompt, "params": "{}"}
    form |= {"revisions-TOTAL_FORMS": "0", "revisions-INITIAL_FORMS": "0"} | more
    url = reverse("admin:agents_agent_change", args=[scene.ann.agent.pk])
    return client.post(url, form, follow=True).content.decode()


def test_a_draft_is_saved_and_published(admin_client: Client, scene: Scene) -> None:
    assert "Revision 2 is a draft" in save(admin_client, scene, "Rhyme.", is_draft="on")
    assert shares(scene) == "r1 100 %"
    draft = AgentRevision.objects.for_tenant(scene.ann.tenant).get(number=2)
    page = reverse("admin:agents_agentrevision_change", args=[draft.pk])
    assert "draft" in admin_client.get(page).content.decode()
    said = ask(admin_client, "agents_agentrevision_publish", draft.pk)
    assert "Publication 2 of poet: r2 100 %." in said
    assert Publication.objects.for_tenant(scene.ann.tenant).get(number=2).published_by == "admin"
    save(admin_client, scene, "Sing.")
    assert shares(scene) == "r3 100 %"


def test_traffic_is_split_and_taken_back(admin_client: Client, scene: Scene) -> None:
    save(admin_client, scene, "Rhyme.", is_draft="on")
    agent = scene.ann.agent.pk
    for wrong, words in (
        ("1: 90", "must sum to 100"), ("half and half", "such as 1: 90"), ("1: 50, 1: 50", "each revision once"),
        ("1: 50, 9: 50", "there is no revision 9"),
    ):  # fmt: skip
        assert words in ask(admin_client, "agents_agent_split_traffic", agent, shares=wrong)
        assert shares(scene) == "r1 100 %"
    assert "r1 90 %, r2 10 %" in ask(admin_client, "agents_agent_split_traffic", agent, shares="r1: 90 %, 2=10")
    assert shares(scene) == "r1 90 %, r2 10 %"
    ask(admin_client, "agents_agent_roll_back", agent)
    assert shares(scene) == "r1 100 %"
    ask(admin_client, "agents_agent_roll_back", agent, publication="2")
    assert shares(scene) == "r1 90 %, r2 10 %"
    assert "there is none of number 77" in ask(admin_client, "agents_agent_roll_back", agent, publication="77")
    history = admin_client.get(reverse("admin:agents_publication_changelist")).content.decode()
    assert history.count("r1 90 %, r2 10 %") >= 2


@pytest.mark.parametrize(
    "name", ["agents_agent_split_traffic", "agents_agent_roll_back", "agents_agentrevision_publish"]
)
def test_who_may_only_look_decides_nothing(client: Client, scene: Scene, name: str) -> None:
    client.force_login(member("viewer"))
    pk = scene.ann.agent.current_revision_id if name.endswith("publish") else scene.ann.agent.pk
    answer = client.post(reverse(f"admin:{name}", args=[pk]), {"_form_submitted": "True", "shares": "1: 100"})
    assert answer.status_code == 403
    assert Agent.objects.for_tenant(scene.ann.tenant).get().publications.count() == 1
