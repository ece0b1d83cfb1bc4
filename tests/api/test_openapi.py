"""The API's document against what is served, and its page without anything from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, get_resolver

from agents.faces.app import ROUTES
from agents.faces.openai.completion_request import CompletionRequest
from agents.faces.openai.response_request import ResponseRequest
from agents.faces.requests import ChatRequest, EmbeddingRequest, TaskRequest
from agents.faces.socket import ClientMessage
from batches.faces import routes as batches
from batches.faces.batches import BatchRequest
from knowledge.face import ROUTES as KNOWLEDGE
from knowledge.face import SearchRequest
from tests.conftest import ROOT

SERVED = [*ROUTES, *batches.ROUTES, *KNOWLEDGE]
HEALTH = {"/livez", "/readyz"}


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    answer = client.get("/api/schema/", {"format": "json"})
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    return document


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def schema_of(content: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = next(iter(content["content"].values()))["schema"]
    return schema


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path, _ in SERVED])
def test_every_hot_route_is_there(document: dict[str, Any], method: str, path: str) -> None:
    operation = document["paths"][path][method.lower()]
    answers = {int(status): answer for status, answer in operation["responses"].items()}
    assert schema_of(next(answer for status, answer in answers.items() if status < 300))
    if path in HEALTH:
        assert operation["security"] == []
        return
    assert operation["security"] == [{"ApiKey": []}]
    assert {401, 403, 503} <= set(answers)
    form = "OpenAIError" if path.startswith("/v1/") else "Problem"
    for status, answer in answers.items():
        if status >= 400:
            assert schema_of(answer) == {"$ref": f"#/components/schemas/{form}"}, status
    named = re.findall(r"{(\w+)}", path)
    assert [p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"] == named
    if method == "POST" and not path.endswith("/cancel"):
        assert schema_of(operation["requestBody"])["$ref"].startswith("#/components/schemas/")
        assert {400, 413} <= set(answers)
        assert (
            429 in answers or path == "/v1/files" or path.endswith("/answers")
        )  # no limit counts uploads, nor answers


def django_s_routes() -> dict[str, set[str]]:
    """The methods that Django serves, by path."""
    served: dict[str, set[str]] = {}
    (resolver,) = (r for r in get_resolver().url_patterns if str(r.pattern) == "api/v1/")
    for pattern in resolver.url_patterns:
        assert isinstance(pattern, URLPattern)
        path = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", str(pattern.pattern).removeprefix("^").removesuffix("/?$"))
        served[f"/api/v1/{path.replace('{pk}', '{id}')}"] = set(pattern.callback.actions)  # type: ignore[attr-defined]
    return served


def test_every_route_of_django_s_is_there(document: dict[str, Any]) -> None:
    served = django_s_routes()
    assert "/api/v1/agents/{slug}" in served
    for path, methods in served.items():
        documented = set(document["paths"][path])
        assert methods - {"head"} <= documented, path
        for method in methods - {"head"}:
            operation = document["paths"][path][method]
            assert operation["security"] == [{"ApiKey": []}]
            assert {"401", "403", "503"} <= set(operation["responses"])


def test_nothing_else_is_there(document: dict[str, Any]) -> None:
    hot = {path for _, path, _ in SERVED} | {"/ws/v1/"}
    assert set(document["paths"]) == hot | set(django_s_routes())
    names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))


def test_every_list_is_in_pages(document: dict[str, Any]) -> None:
    for path in (
        "collections",
        "collections/{slug}/documents",
        "agents",
        "agents/{slug}/revisions",
        "conversations",
        "conversations/{id}/messages",
        "tasks",
        "secrets",
        "tools",
        "mcp-servers",
    ):
        operation = document["paths"][f"/api/v1/{path}"]["get"]
        assert {"cursor", "page_size"} <= {p["name"] for p in operation["parameters"] if p["in"] == "query"}, path
        page = document["components"]["schemas"][schema_of(operation["responses"]["200"])["$ref"].rpartition("/")[2]]
        assert set(page["properties"]) == {"next", "results"}
        assert "400" in operation["responses"]


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) <= known
    assert document["components"]["securitySchemes"]["ApiKey"] == {"type": "http", "scheme": "bearer"}


@pytest.mark.parametrize(
    "form",
    [
        TaskRequest,
        ChatRequest,
        CompletionRequest,
        ResponseRequest,
        EmbeddingRequest,
        ClientMessage,
        BatchRequest,
        SearchRequest,
    ],
)
def test_the_fields_are_those_that_are_decoded(document: dict[str, Any], form: Any) -> None:
    schema = document["components"]["schemas"][form.__name__]
    assert tuple(schema["properties"]) == form.__struct_fields__
    assert schema["additionalProperties"] is False


def test_the_websocket_s_messages_stand_beside(document: dict[str, Any]) -> None:
    page = document["paths"]["/ws/v1/"]["get"]["description"]
    for kind in ("auth", "submit", "follow", "unfollow", "cancel", "ping"):
        assert f'{{"type": "{kind}"' in page
    source = (ROOT / "agents/faces/socket.py").read_text()
    for kind in re.findall(r'"type": ?"(\w+)"|"type":"(\w+)"', source):
        assert f'"type": "{"".join(kind)}"' in page or f"`{''.join(kind)}`" in page, kind


def test_the_page_needs_nothing_from_elsewhere(db: None, client: Client) -> None:
    page = client.get("/api/docs/").content.decode()
    assert "SwaggerUIBundle" in page
    sources = re.findall(r"""(?:src|href)=["']([^"']+)["']""", page)
    assert len(sources) >= 3
    for source in sources:
        assert source.startswith("/static/"), source
        answer = client.get(source)
        assert answer.status_code == 200
        answer.close()
    assert not re.findall(r"https?://(?!127\.0\.0\.1)", page)
