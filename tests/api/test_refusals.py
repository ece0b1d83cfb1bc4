"""Every refusal under /api is a problem document, whatever went wrong."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import InterfaceError, OperationalError
from django.test import Client

from tenants import selectors, services
from tests.api.conftest import Application, refused
from tests.scene import Scene

LISTS = ["/api/v1/agents", "/api/v1/conversations", "/api/v1/tasks"]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("header", [None, "Bearer ops_wrong", "Basic x", "Bearer", "Bearer \xff"])
def test_wrong_keys(db: None, path: str, header: str | None) -> None:
    answer = Client().get(path, headers={} if header is None else {"Authorization": header})
    refused(answer, 401, code="invalid_api_key")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_revoked_key(ann: Application, scene: Scene) -> None:
    key = selectors.valid_key(scene.ann.key)
    assert key is not None
    services.revoke_key(key=key)
    refused(ann.get(LISTS[0]), 401, code="invalid_api_key")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"slug": ', "invalid_json"),
        (b"slug=x", "invalid_json"),
        (b'{"slug": NaN}', "invalid_json"),
        (b'{"slug": "\\ud800"}', "invalid_json"),
        (b'{"slug": "\xff"}', "invalid_json"),
        (b'{"slug": ' + b"[" * 9000, "invalid_json"),
        (b"[1]", "invalid"),
        (b'"x"', "invalid"),
        (b"null", "invalid"),
        (b"", "invalid"),
    ],
)
def test_bodies_that_cannot_be_read(ann: Application, body: bytes, code: str) -> None:
    refused(ann.post("/api/v1/agents", body), 400, code=code)


def test_a_body_that_is_too_large(ann: Application, settings: Any) -> None:
    settings.OPSITE_BODY_LIMIT_BYTES = 1000
    refused(ann.post("/api/v1/agents", {"system_prompt": "x" * 1000}), 413, code="too_large")
    refused(ann.patch("/api/v1/agents/poet", {"system_prompt": "x" * 1000}), 413, code="too_large")
    assert ann.patch("/api/v1/agents/poet", {"system_prompt": "x" * 900}).status_code == 200


def test_another_media_type(ann: Application) -> None:
    answer = ann.client.post("/api/v1/agents", {"slug": "x"}, headers=ann.party.headers)
    refused(answer, 415, code="unsupported_media_type")
    refused(ann.call("GET", "/api/v1/agents", Accept="text/html"), 406, code="not_acceptable")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/api/v1/agents/poet"),
        ("DELETE", "/api/v1/agents"),
        ("PUT", "/api/v1/agents/poet/revisions"),
        ("PUT", "/api/v1/conversations"),
        ("PATCH", "/api/v1/tasks"),
    ],
)
def test_another_method(ann: Application, method: str, path: str) -> None:
    answer = ann.call(method, path, {})
    refused(answer, 405, code="method_not_allowed")
    assert method not in answer.headers["Allow"]


@pytest.mark.parametrize(
    "path", ["/api", "/api/", "/api/v1", "/api/v1/nothing", "/api/v2/agents", "/api/v1/agents/a/b"]
)
def test_unknown_paths(ann: Application, path: str) -> None:
    assert path in refused(ann.get(path), 404, code="not_found")["detail"]


def test_people_get_pages(client: Client, db: None) -> None:
    answer = client.get("/nothing")
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")


@pytest.mark.parametrize("path", LISTS)
def test_a_trailing_slash_makes_no_difference(ann: Application, path: str) -> None:
    assert ann.get(f"{path}/").json() == ann.get(path).json()


@pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("closed")])
@pytest.mark.parametrize("path", LISTS)
def test_a_database_that_goes_away(
    ann: Application, path: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*args: object) -> None:
        raise error

    monkeypatch.setattr(selectors, "valid_key", gone)
    answer = ann.get(path)
    refused(answer, 503, code="unavailable")
    assert answer.headers["Retry-After"] == "1"


def test_what_nobody_expected_is_a_500_that_tells_nothing(ann: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(selectors, "valid_key", broken)
    assert "secret" not in str(refused(ann.get(LISTS[0]), 500, code="internal"))
