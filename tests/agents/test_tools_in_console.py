"""Tools and MCP servers made and changed in the console: what does not fit is said beside its field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from agents.models import Agent, McpServer, Tool
from agents.services import change_agent
from tenants.secrets import put_secret
from tests.billing.conftest import price
from tests.scene import Scene

pytestmark = pytest.mark.django_db
ADD = "admin:agents_tool_add"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
REQUEST = {"url": "https://weather.example/{city}", "headers": {"authorization": "Bearer ${secret:weather}"}}


def form(scene: Scene, **more: Any) -> dict[str, Any]:
    said = {"name": "weather", "description": "Rain?", "parameters": SCHEMA, "request": REQUEST, "timeout_s": 5, **more}
    plain = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in said.items()}
    return {"tenant": scene.ann.tenant.pk, **plain}


def errors(answer: Any) -> dict[str, list[str]]:
    assert answer.status_code == 200
    found: dict[str, list[str]] = answer.context["adminform"].form.errors
    return {field: list(said) for field, said in found.items()}


def test_a_tool_is_made_and_changed(admin_client: Client, scene: Scene) -> None:
    shown = admin_client.post(reverse(ADD), form(scene), follow=True).content.decode()
    assert "no secret &#x27;weather&#x27; yet" in shown
    tool = Tool.objects.for_tenant(scene.ann.tenant).get()
    assert (tool.kind, tool.request, tool.parameters, tool.timeout_s) == ("http", REQUEST, SCHEMA, 5)
    put_secret(tenant=scene.ann.tenant, name="weather", value="s3cret")
    page = reverse("admin:agents_tool_change", args=[tool.pk])
    assert "s3cret" not in admin_client.get(page).content.decode()
    shown = admin_client.post(page, form(scene, is_idempotent="on", description="Sun?"), follow=True).content.decode()
    assert "no secret" not in shown
    tool.refresh_from_db()
    assert (tool.is_idempotent, tool.description) == (True, "Sun?")


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"name": "not a name"}, "name", "Enter a valid value"),
        ({"name": "calculator"}, "name", "built-in"),
        ({"parameters": {"type": "string"}}, "parameters", "object"),
        ({"parameters": "{"}, "parameters", "valid JSON"),
        ({"parameters": {**SCHEMA, "title": "\x00"}}, "parameters", "parameters.title: must not contain"),
        ({"request": {**REQUEST, "headers": {"accept": "\x00"}}}, "request", "accept: must not contain"),
        ({"request": {"url": "ftp://a.example"}}, "request", "request.url: must begin with https://"),
        ({"request": {"url": "https://a.example/{town}"}}, "request", "'town' is no property"),
        ({"request": {"url": "https://a.example", "verb": "GET"}}, "request", "unknown field"),
        (
            {"request": {"url": "https://a.example", "headers": {"Authorization": "Bearer abc"}}},
            "request",
            "in plain text. Store the secret under Secrets",
        ),
        ({"timeout_s": 601}, "timeout_s", "600"),
        ({"timeout_s": 0}, "timeout_s", "greater than"),
    ],
)
def test_what_does_not_fit_is_said_beside_its_field(
    admin_client: Client, scene: Scene, change: dict[str, Any], field: str, said: str
) -> None:
    found = errors(admin_client.post(reverse(ADD), form(scene, **change)))
    assert list(found) == [field]
    assert said in found[field][0]
    assert not Tool.objects.for_tenant(scene.ann.tenant).exists()


def test_a_name_is_taken_in_its_own_tenant_only(admin_client: Client, scene: Scene) -> None:
    Tool.objects.create(tenant=scene.bob.tenant, name="weather", kind="http", request=REQUEST, parameters=SCHEMA)
    assert admin_client.post(reverse(ADD), form(scene)).status_code == 302
    assert "already exists" in str(errors(admin_client.post(reverse(ADD), form(scene))))


def test_of_a_server_s_tool_its_own_words_stay(admin_client: Client, scene: Scene) -> None:
    server = McpServer.objects.create(tenant=scene.ann.tenant, name="box", url="https://box.example/mcp")
    tool = Tool.objects.create(
        tenant=scene.ann.tenant, name="box_open", kind="mcp", server=server, remote_name="open", description="Opens.",
        parameters=SCHEMA,
    )  # fmt: skip
    page = reverse("admin:agents_tool_change", args=[tool.pk])
    assert admin_client.post(page, form(scene, is_idempotent="on", timeout_s=9)).status_code == 302
    tool.refresh_from_db()
    assert (tool.name, tool.description, tool.is_idempotent, tool.timeout_s) == ("box_open", "Opens.", True, 9)


def test_what_an_agent_uses_is_not_deleted(admin_client: Client, scene: Scene) -> None:
    server = McpServer.objects.create(tenant=scene.ann.tenant, name="box", url="https://box.example/mcp")
    tool = Tool.objects.create(tenant=scene.ann.tenant, name="box_open", kind="mcp", server=server, parameters=SCHEMA)
    pages = [
        reverse(f"admin:agents_{kind}_delete", args=[pk]) for kind, pk in (("tool", tool.pk), ("mcpserver", server.pk))
    ]
    change_agent(
        agent=scene.ann.agent, tenant=scene.ann.tenant, changes={"tools": [{"tool": "box_open"}]}, changed_by="ann"
    )
    assert {admin_client.post(page, {"post": "yes"}).status_code for page in pages} == {403}
    change_agent(agent=scene.ann.agent, tenant=scene.ann.tenant, changes={"tools": []}, changed_by="ann")
    assert {admin_client.post(page, {"post": "yes"}).status_code for page in pages} == {302}
    assert not McpServer.objects.for_tenant(scene.ann.tenant).exists()


DOCUMENT = {
    "openapi": "3.1.0",
    "servers": [{"url": "https://shop.example/v2"}],
    "paths": {
        "/orders/{id}": {
            "get": {
                "operationId": "get_order",
                "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}],
            },
            "delete": {"operationId": "drop_order", "parameters": [{"name": "id", "in": "path", "required": True}]},
        }
    },
}


def imported(admin_client: Client, scene: Scene, document: bytes, **more: str) -> Any:
    said = {"tenant": scene.ann.tenant.pk, "document": SimpleUploadedFile("shop.json", document), **more}
    return admin_client.post(f"{reverse(ADD)}?import=1", said, follow="follow" in more)


def test_a_document_s_operations_become_tools(admin_client: Client, scene: Scene) -> None:
    listed = admin_client.get(reverse("admin:agents_tool_changelist")).content.decode()
    assert "Import an OpenAPI document" in listed
    headers = '{"authorization": "Bearer ${secret:shop}"}'
    document = json.dumps(DOCUMENT).encode()
    shown = imported(admin_client, scene, document, headers=headers, operations="get_order", follow="").content.decode()
    assert "Tools of the document: get_order." in shown
    assert "no secret &#x27;shop&#x27; yet" in shown
    (tool,) = Tool.objects.for_tenant(scene.ann.tenant)
    assert (tool.name, tool.request["url"], tool.is_idempotent) == (
        "get_order",
        "https://shop.example/v2/orders/{id}",
        True,
    )
    assert tool.request["headers"] == json.loads(headers)
    assert imported(admin_client, scene, document).status_code == 302
    assert {tool.name for tool in Tool.objects.for_tenant(scene.ann.tenant)} == {"get_order", "drop_order"}


@pytest.mark.parametrize(
    ("document", "more", "field", "said"),
    [
        (b"{", {}, "document", "no JSON"),
        (b"{}", {}, "document", "no OpenAPI 3 document"),
        (b'{"openapi": "3.1.0", "info": {"title": "\\u0000"}}', {}, "document", "info.title: must not contain"),
        (json.dumps(DOCUMENT).encode(), {"operations": "sell"}, "operations", "no operation 'sell'"),
        (json.dumps(DOCUMENT).encode(), {"headers": '{"Cookie": "a=b"}'}, "headers", "in plain text"),
        (json.dumps(DOCUMENT).encode(), {"operations": "get_order, box"}, "operations", "no operation 'box'"),
    ],
)
def test_a_document_that_does_not_fit_is_refused(
    admin_client: Client, scene: Scene, document: bytes, more: dict[str, str], field: str, said: str
) -> None:
    found = errors(imported(admin_client, scene, document, **more))
    assert list(found) == [field]
    assert said in found[field][0]


def test_a_server_s_help_and_credentials(admin_client: Client, scene: Scene) -> None:
    page = reverse("admin:agents_mcpserver_add")
    assert "weather_today is the tool today of the server weather" in admin_client.get(page).content.decode()
    said = {"tenant": scene.ann.tenant.pk, "name": "box", "url": "https://box.example/mcp"}
    plain = errors(admin_client.post(page, {**said, "headers": '{"Authorization": "Bearer abc"}'}))
    assert "in plain text" in plain["headers"][0]
    nul = errors(admin_client.post(page, {**said, "headers": '{"accept": "\\u0000"}'}))
    assert "must not contain the character U+0000" in nul["headers"][0]
    by_reference = {**said, "headers": '{"Authorization": "Bearer ${secret:box}"}'}
    assert "no secret &#x27;box&#x27; yet" in admin_client.post(page, by_reference, follow=True).content.decode()


def test_an_agent_s_limits_are_set_and_refused_where_nothing_has_a_price(admin_client: Client, scene: Scene) -> None:
    agent = Agent.objects.for_tenant(scene.ann.tenant).get()
    page = reverse("admin:agents_agent_change", args=[agent.pk])
    said = {
        "name": "Poet", "pool": scene.pool.pk, "params": "{}", "limits": '{"max_cost": 0.5}',
        "revisions-TOTAL_FORMS": 0, "revisions-INITIAL_FORMS": 0,
    }  # fmt: skip
    assert "have no price" in errors(admin_client.post(page, said))["limits"][0]
    price(scene.pool, agent.created_at, output="1")
    assert admin_client.post(page, said).status_code == 302
    agent.refresh_from_db()
    assert agent.current_revision is not None
    assert agent.current_revision.limits == {"max_cost": "0.5"}
