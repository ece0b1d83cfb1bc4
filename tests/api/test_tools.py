"""Tools, MCP servers and agents that name them, by REST."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.scene import Scene

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"name": "weather", "parameters": SCHEMA, "request": {"url": "https://api.example/{city}", "method": "GET"}}


@pytest.fixture
def ann(scene: Scene) -> APIClient:
    return client_of(scene.ann.headers)


def client_of(headers: dict[str, str]) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=headers["Authorization"])
    return client


def test_a_tool_from_its_making_to_its_end(scene: Scene, ann: APIClient) -> None:
    made = ann.post("/api/v1/tools", TOOL, format="json")
    assert (made.status_code, made.json()["kind"], made.json()["timeout_s"]) == (201, "http", 30.0)
    assert ann.post("/api/v1/tools", TOOL, format="json").json()["code"] == "conflict"
    changed = ann.patch("/api/v1/tools/weather", {"is_idempotent": True}, format="json")
    assert (changed.status_code, changed.json()["is_idempotent"], changed.json()["parameters"]) == (200, True, SCHEMA)
    bob = client_of(scene.bob.headers)
    assert [bob.get(path).status_code for path in ("/api/v1/tools/weather", "/api/v1/mcp-servers/box")] == [404, 404]
    assert bob.get("/api/v1/tools").json()["results"] == []
    agent = {"tools": [{"tool": "weather"}, {"builtin": "hand_off", "agents": ["poet"]}], "limits": {"max_turns": 3}}
    revised = ann.patch("/api/v1/agents/poet", agent, format="json").json()["current_revision"]
    assert (revised["number"], revised["tools"], revised["limits"]) == (2, agent["tools"], {"max_turns": 3})
    assert ann.delete("/api/v1/tools/weather").json()["code"] == "in_use"
    ann.patch("/api/v1/agents/poet", {"tools": []}, format="json")
    assert ann.delete("/api/v1/tools/weather").status_code == 204


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "calculator"}, "name"),
        ({"name": "no spaces"}, "name"),
        ({"parameters": {"type": "objekt"}}, "parameters.type"),
        ({"parameters": {"type": "string"}}, "parameters"),
        ({"request": {"url": "ftp://x/"}}, "request.url"),
        ({"request": {"url": "https://{city}.example/"}}, "request.url"),
        ({"request": {"url": "https://x.example/{town}"}}, "request"),
        ({"request": {"url": "https://x.example/", "verb": "GET"}}, "request"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_does_not_fit_is_named(ann: APIClient, change: dict[str, Any], field: str) -> None:
    answer = ann.post("/api/v1/tools", {**TOOL, **change}, format="json")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)


@pytest.mark.parametrize(
    ("tools", "limits", "field"),
    [
        ([{"tool": "nobody"}], {}, "tools[0]"),
        ([{"builtin": "nothing"}], {}, "tools[0]"),
        ([{"builtin": "hand_off"}], {}, "tools[0].agents"),
        ([{"builtin": "hand_off", "agents": ["nobody"]}], {}, "tools[0].agents"),
        ([{"builtin": "calculator"}, {"builtin": "calculator"}], {}, "tools"),
        ([], {"max_turns": 0}, "limits.max_turns"),
        ([], {"max_turn": 3}, "limits"),
    ],
)
def test_what_an_agent_cannot_have_is_named(
    ann: APIClient, tools: list[Any], limits: dict[str, Any], field: str
) -> None:
    answer = ann.patch("/api/v1/agents/poet", {"tools": tools, "limits": limits}, format="json")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)


DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "Shop", "version": "1"},
    "servers": [{"url": "https://shop.example/v2/"}],
    "paths": {
        "/orders/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}],
            "get": {"operationId": "get_order", "summary": "One order"},
            "patch": {
                "operationId": "change order!",
                "parameters": [{"$ref": "#/components/parameters/Trace"}],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}}},
            },
        },
    },
    "components": {
        "parameters": {"Trace": {"name": "x-trace", "in": "header", "schema": {"type": "string"}}},
        "schemas": {"Order": {"type": "object", "properties": {"note": {"type": "string"}}, "required": ["note"]}},
    },
}


def test_tools_from_an_openapi_document(ann: APIClient) -> None:
    asked = {"document": DOCUMENT, "headers": {"authorization": "Bearer ${secret:shop}"}}
    for _ in range(2):  # once more changes them
        answer = ann.post("/api/v1/tools/import", asked, format="json")
        assert answer.status_code == 201, answer.json()
    get, change = answer.json()
    assert (get["name"], get["description"], get["is_idempotent"]) == ("get_order", "One order", True)
    assert get["request"] == {
        "method": "GET", "url": "https://shop.example/v2/orders/{id}", "query": [], "header_arguments": [],
        "headers": {"authorization": "Bearer ${secret:shop}"},
    }  # fmt: skip
    assert (change["name"], change["is_idempotent"]) == ("change_order", False)
    assert change["parameters"]["required"] == ["id", "note"]
    assert (change["request"]["header_arguments"], set(change["parameters"]["properties"])) == (
        ["x-trace"],
        {"id", "x-trace", "note"},
    )


def _parameter(**more: Any) -> dict[str, Any]:
    return {"paths": {"/a": {"get": {"parameters": [{"name": "a", "in": "query", **more}]}}}}


def _body(body: Any) -> dict[str, Any]:
    return {"paths": {"/a": {"post": {"requestBody": body}}}}


def _schema(schema: Any) -> dict[str, Any]:
    return _body({"content": {"application/json": {"schema": schema}}})


FLOOD: dict[str, Any] = {str(n): {"allOf": [{"$ref": f"#/components/{n + 1}"}] * 50} for n in range(1, 6)} | {"6": {}}
"""Each names the next one fifty times: 312 million schemas once all are followed."""


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"openapi": "2.0"}, "document"),
        ({"servers": []}, "base_url"),
        ({"paths": {}}, "document.paths"),
        ({"paths": {"/a": {"get": {"parameters": [{"$ref": "#/nowhere"}]}}}}, "document.paths./a.get"),
        ({"paths": {"/a": {"get": {"parameters": [{"$ref": "https://x/"}]}}}}, "document.paths./a.get"),
        ({"paths": []}, "document.paths"),
        ({"paths": {"/a": {"parameters": "x", "get": {}}}}, "document.paths./a.parameters"),
        ({"paths": {"/a": {"get": {"parameters": 1}}}}, "document.paths./a.get.parameters"),
        ({"paths": {"/a": {"get": {"parameters": [1]}}}}, "document.paths./a.get.parameters"),
        (_parameter(schema="x"), "document.paths./a.get.parameters.schema"),
        (_parameter(schema={"type": "nonsense"}), "parameters.properties.a.type"),
        (_body(1), "document.paths./a.post.requestBody"),
        (_body({"content": "application/json"}), "document.paths./a.post.requestBody.content"),
        (_body({"content": {"application/json": []}}), "document.paths./a.post.requestBody.application/json"),
        (_schema([]), "document.paths./a.post.requestBody.schema"),
        (_schema({"type": "array"}), "document.paths./a.post.requestBody"),
        (_schema({"properties": []}), "document.paths./a.post.requestBody.properties"),
        (_schema({"required": "a"}), "document.paths./a.post.requestBody.required"),
        ({**_schema({"$ref": "#/components/1"}), "components": FLOOD}, "document.paths./a.post"),
        ({"servers": [{"url": "https://["}], "paths": {"/a": {"get": {}}}}, "base_url"),
        ({"servers": [{"url": "https://x.example/${secret:bank}"}]}, "document.servers"),
        ({"paths": {"/${secret:bank}": {"get": {}}}}, "document.paths./${secret:bank}"),
        ({"paths": {"@x.example/a": {"get": {}}}}, "document.paths.@x.example/a"),
        ({"servers": [{"url": "https://["}], "paths": {"/a": {"get": {"operationId": "a"}}}}, "request.url"),
    ],
)
def test_documents_that_do_not_fit(ann: APIClient, change: dict[str, Any], field: str) -> None:
    answer = ann.post("/api/v1/tools/import", {"document": {**DOCUMENT, **change}}, format="json")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)


def test_what_a_document_says_of_the_headers_of_each_request_is_no_argument(ann: APIClient) -> None:
    names = ("Authorization", "content-type", "Accept", "x-trace")
    paths = {"/a": {"get": {"operationId": "a", "parameters": [{"name": name, "in": "header"} for name in names]}}}
    (tool,) = ann.post("/api/v1/tools/import", {"document": {**DOCUMENT, "paths": paths}}, format="json").json()
    assert (list(tool["parameters"]["properties"]), tool["request"]["header_arguments"]) == (["x-trace"], ["x-trace"])


def test_a_tool_needs_a_name_and_an_address_that_can_be_told(ann: APIClient) -> None:
    for change, field in (({"name": "import"}, "name"), ({"request": {"url": "https://["}}, "request.url")):
        answer = ann.post("/api/v1/tools", {**TOOL, **change}, format="json")
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)


def test_an_mcp_server_at_a_private_address_is_not_asked(ann: APIClient) -> None:
    made = ann.post("/api/v1/mcp-servers", {"name": "box", "url": "http://127.0.0.1:9/mcp"}, format="json")
    assert made.status_code == 201
    asked = ann.post("/api/v1/mcp-servers/box/discover")
    assert (asked.status_code, asked.json()["code"]) == (502, "mcp_server_failed")
    assert "127.0.0.1 is not a public address" in asked.json()["detail"]
    assert "not a public address" in ann.get("/api/v1/mcp-servers/box").json()["error"]
    assert ann.delete("/api/v1/mcp-servers/box").status_code == 204


def test_a_key_without_the_scope_changes_nothing(scene: Scene) -> None:
    from tenants.services import issue_key

    key = issue_key(tenant=scene.ann.tenant, name="reader", scopes=["tools:read"]).secret
    reader = client_of({"Authorization": f"Bearer {key}"})
    assert reader.get("/api/v1/tools").status_code == 200
    assert reader.post("/api/v1/tools", TOOL, format="json").json()["code"] == "missing_scope"


def test_the_steps_of_a_task(scene: Scene, ann: APIClient) -> None:
    from agents.models import ToolCall

    task = scene.ann.task()
    turn = task.turns.get()
    ToolCall.objects.create(tenant=scene.ann.tenant, task=task, turn=turn, number=1, call_id="call_1", name="weather")
    (step,) = ann.get(f"/api/v1/tasks/{task.pk}/steps").json()
    assert (step["number"], [(one["id"], one["state"]) for one in step["calls"]]) == (1, [("call_1", "pending")])
    assert client_of(scene.bob.headers).get(f"/api/v1/tasks/{task.pk}/steps").status_code == 404
