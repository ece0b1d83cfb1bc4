"""The console's pages: every model's list, and every form, as staff sees them."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.test import Client, RequestFactory
from django.urls import reverse

from agents.models import Agent, AgentRevision, Immutable, McpServer, Task, ToolCall
from agents.services import agent_of_pool, revise_agent
from audit.models import Entry
from orchestrator.models import Pool
from tenants.models import ApiKey
from tests.scene import Scene
from tests.staff.members import member

OURS = [
    model
    for model in admin.site._registry
    if model._meta.app_label in ("tenants", "webhooks", "orchestrator", "agents")
]


@pytest.fixture
def staff(admin_client: Client, scene: Scene) -> Client:
    scene.ann.task()
    return admin_client


def page(client: Client, name: str, *args: Any) -> str:
    response = client.get(reverse(f"admin:{name}", args=args))
    assert response.status_code == 200
    return response.content.decode()


def test_every_model_is_there() -> None:
    assert {model.__name__ for model in OURS} == {
        "Tenant", "ApiKey", "Secret", "Endpoint", "Delivery",
        "Agent", "AgentRevision", "Conversation", "Message", "Task", "Turn", "Pool", "ScalingPolicy",
        "PoolRevision", "Rollout", "StockItem", "Worker", "ScalingDecision",
        "Publication", "TrafficShare", "Tool", "McpServer", "ToolCall",
    }  # fmt: skip


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_lists_and_forms(staff: Client, model: Any) -> None:
    label = f"{model._meta.app_label}_{model._meta.model_name}"
    page(staff, f"{label}_changelist")
    assert staff.get(reverse(f"admin:{label}_changelist"), {"q": "x"}).status_code == 200
    rows = model._default_manager.all()
    first = (rows.across_tenants() if hasattr(rows, "across_tenants") else rows).first()
    if first is not None:
        page(staff, f"{label}_change", first.pk)
    response = staff.get(reverse(f"admin:{label}_add"))
    read_only = {"AgentRevision", "Conversation", "Message", "Task", "Turn", "Worker", "ScalingDecision"}
    read_only |= {"Delivery", "PoolRevision", "Rollout", "StockItem"}
    read_only |= {"PoolRevision", "Rollout", "StockItem", "Publication", "TrafficShare", "ToolCall"}
    assert response.status_code == (403 if model.__name__ in read_only else 200)


def test_who_may_only_look_is_offered_nothing_that_changes_anything(db: None, rf: RequestFactory) -> None:
    request = rf.get("/")
    request.user = member("viewer")
    offered = {model.__name__: set(one.get_actions(request)) for model, one in admin.site._registry.items()}
    assert {name: some for name, some in offered.items() if some} == {}


def test_a_key_is_shown_once(staff: Client, scene: Scene) -> None:
    form = {
        "tenant": str(scene.ann.tenant.pk),
        "name": "new",
        "scopes": "tasks:read",
        "expires_at_0": "",
        "expires_at_1": "",
        "max_waiting": "20",
        "max_running": "4",
        "requests_per_minute": "60",
        "tokens_per_minute": "0",
        "tokens_per_month": "0",
    }
    shown = staff.post(reverse("admin:tenants_apikey_add"), form, follow=True).content.decode()
    key = ApiKey.objects.for_tenant(scene.ann.tenant).get(name="new")
    assert key.prefix in shown
    assert (key.scopes, key.max_waiting, key.max_running, key.requests_per_minute) == (["tasks:read"], 20, 4, 60)
    again = page(staff, "tenants_apikey_change", key.pk)
    assert "shown this once" not in again


def test_saving_an_agent_makes_a_revision(staff: Client, scene: Scene) -> None:
    form = {"name": "Poet", "pool": str(scene.pool.pk), "system_prompt": "Rhyme.", "params": '{"max_tokens": 9}'}
    inline = {"revisions-TOTAL_FORMS": "0", "revisions-INITIAL_FORMS": "0"}
    response = staff.post(reverse("admin:agents_agent_change", args=[scene.ann.agent.pk]), form | inline)
    assert response.status_code == 302
    agent = Agent.objects.for_tenant(scene.ann.tenant).get()
    assert agent.current_revision is not None
    assert (agent.current_revision.number, agent.current_revision.system_prompt) == (2, "Rhyme.")
    refused = staff.post(
        reverse("admin:agents_agent_change", args=[agent.pk]), form | inline | {"params": '{"temprature": 1}'}
    )
    assert "params.temprature: unknown" in refused.content.decode()


def test_an_agent_is_added_and_its_slug_is_its_tenants_own(staff: Client, scene: Scene) -> None:
    form = {"slug": "bard", "name": "Bard", "pool": str(scene.pool.pk), "system_prompt": "", "params": "{}"}
    inline = {"revisions-TOTAL_FORMS": "0", "revisions-INITIAL_FORMS": "0"}
    for party in (scene.ann, scene.bob):
        added = staff.post(reverse("admin:agents_agent_add"), form | inline | {"tenant": str(party.tenant.pk)})
        assert added.status_code == 302
        assert Agent.objects.for_tenant(party.tenant).get(slug="bard").revisions.count() == 1
    again = staff.post(reverse("admin:agents_agent_add"), form | inline | {"tenant": str(scene.ann.tenant.pk)})
    assert again.status_code == 200
    assert Agent.objects.for_tenant(scene.ann.tenant).filter(slug="bard").count() == 1


def test_a_form_of_output_beside_tools_is_saved_and_the_tools_stay(staff: Client, scene: Scene) -> None:
    agent, revision = scene.ann.agent, scene.ann.agent.current_revision
    assert revision is not None
    tools = [{"builtin": "calculator"}]
    revise_agent(agent=agent, pool=revision.pool, system_prompt="", params={}, tools=tools)
    form = {"name": "Poet", "pool": str(scene.pool.pk), "params": "{}", "output": '{"kind": "json_object"}'}
    inline = {"revisions-TOTAL_FORMS": "0", "revisions-INITIAL_FORMS": "0"}
    saved = staff.post(reverse("admin:agents_agent_change", args=[agent.pk]), form | inline)
    assert saved.status_code == 302
    now = Agent.objects.for_tenant(scene.ann.tenant).get(pk=agent.pk).current_revision
    assert now is not None
    assert (now.tools, now.output_form) == (tools, '{"kind":"json_object"}')


def test_what_stands_for_a_pool_is_not_changed(staff: Client, scene: Scene) -> None:
    slug = agent_of_pool(tenant_id=scene.ann.tenant.pk, pool_slug=scene.pool.slug)
    standing = Agent.objects.for_tenant(scene.ann.tenant).get(slug=slug)
    form = {"name": "x", "pool": str(scene.pool.pk), "system_prompt": "Rhyme.", "params": "{}"}
    inline = {"revisions-TOTAL_FORMS": "0", "revisions-INITIAL_FORMS": "0"}
    changed = staff.post(reverse("admin:agents_agent_change", args=[standing.pk]), form | inline)
    selected = {"action": "archive", "_selected_action": [str(standing.pk)]}
    archived = staff.post(reverse("admin:agents_agent_changelist"), selected, follow=True)
    for answer in (changed, archived):
        assert "stands for a pool" in answer.content.decode()
    standing.refresh_from_db()
    assert (standing.name, standing.revisions.count(), standing.archived_at) == (f"Pool {scene.pool.slug}", 1, None)


def test_history_does_not_change(scene: Scene) -> None:
    revision = AgentRevision.objects.for_tenant(scene.ann.tenant).get()
    revision.system_prompt = "something else"
    with pytest.raises(Immutable, match="makes a new revision"):
        revision.save()


def test_pause_and_cancel(staff: Client, scene: Scene) -> None:
    selected = {"_selected_action": [str(scene.pool.pk)]}
    staff.post(reverse("admin:orchestrator_pool_changelist"), {"action": "pause", **selected})
    assert Pool.objects.get(pk=scene.pool.pk).is_paused
    task = Task.objects.for_tenant(scene.ann.tenant).get()
    selected = {"_selected_action": [str(task.pk)]}
    shown = staff.post(reverse("admin:agents_task_changelist"), {"action": "cancel", **selected}, follow=True)
    assert "0 tasks were waiting or running" in shown.content.decode()  # Redis was never told of it
    assert not Entry.objects.filter(action="task.cancel").exists()


def test_the_overview_and_who_may_see_it(staff: Client, client: Client) -> None:
    assert 'id="overview"' in page(staff, "index")
    assert client.get(reverse("admin:index")).status_code == 302


def test_an_agent_that_asks_is_answered_once(staff: Client, scene: Scene) -> None:
    task = scene.ann.task()
    call = ToolCall.objects.create(
        tenant=scene.ann.tenant, task=task, turn=task.turns.get(), number=1, call_id="call_1", name="ask_human", state="waiting",
        arguments='{"question":"Which colour?"}',
    )  # fmt: skip
    assert "Which colour?" in page(staff, "agents_toolcall_change", call.pk)
    address = reverse("admin:agents_toolcall_change", args=[call.pk])
    assert staff.post(address, {"answer": "Blue"}).status_code == 302
    call.refresh_from_db()
    assert (call.state, call.result) == ("succeeded", "Blue")
    assert Entry.objects.get(action="toolcall.answer").object_id == str(call.pk)
    assert staff.post(address, {"answer": "Red"}).status_code == 403
    call.refresh_from_db()
    assert call.result == "Blue"


def test_an_mcp_server_that_cannot_be_asked_says_why(staff: Client, scene: Scene) -> None:
    form = {"tenant": scene.ann.tenant.pk, "name": "box", "url": "http://127.0.0.1:9/mcp", "headers": "{}"}
    assert staff.post(reverse("admin:agents_mcpserver_add"), form).status_code == 302
    server = McpServer.objects.for_tenant(scene.ann.tenant).get()
    chosen = {"action": "discover", "_selected_action": [str(server.pk)]}
    answer = staff.post(reverse("admin:agents_mcpserver_changelist"), chosen, follow=True)
    assert "not a public address" in answer.content.decode()
