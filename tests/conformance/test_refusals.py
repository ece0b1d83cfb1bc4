"""How every operation refuses: no key or a wrong one, a key without the scope, another method, another media type, no JSON."""

from __future__ import annotations

import re

import pytest
from jsonschema import Draft202012Validator

from tenants.services import issue_key
from tests.conformance.belongings import named
from tests.conformance.effort import TIMEOUT_S, Dealt
from tests.conformance.service import JSON, PATIENCE_S, Asker, Operation, Service

pytestmark = pytest.mark.timeout(TIMEOUT_S)
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}
WRONG_KEYS = ["", "Bearer ops_wrong", "Basic eDp5", "Bearer", b"Bearer \xff\xb2", "Bearer " + "x" * 5000]
NO_OBJECTS = [
    b"null",
    b"[]",
    b"0",
    b'"x"',
    b"{",
    b"\xff",
    b"\x00",
    b'{"a": "\xed\xa0\x80"}',
    b'{"a": NaN}',
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"9" * 10_000,
]
MEDIA_TYPES = [
    "text/xml",
    "multipart/form-data",
    "multipart/form-data; boundary=x",
    "application/x-www-form-urlencoded",
    "nonsense",
    b"text/\xff",
]

KEYS, BODIES, KINDS = Dealt(WRONG_KEYS, 2), Dealt(NO_OBJECTS, 4), Dealt(MEDIA_TYPES, 2)


def asks_for_a_key(operation: Operation) -> bool:
    """The websocket says who it is once it is open, and the process's health is nobody's secret."""
    security = operation.definition.raw["security"]
    return bool(security) and {} not in security


def kinds(operation: Operation) -> list[str]:
    """The media types of the bodies that it takes."""
    return list(operation.definition.raw.get("requestBody", {}).get("content", {}))


def test_every_operation_refuses_as_documented(service: Service) -> None:
    def attempt(operation: Operation, asker: Asker) -> None:
        if asks_for_a_key(operation):
            refuses_keys(operation, asker)
        if JSON in kinds(operation):
            refuses_what_is_no_object(operation, asker)
        if kinds(operation):
            refuses_media_types(operation, asker)
        asker.ask(headers={"Accept": "image/png"})

    service.each(attempt)
    refuses_methods(service)


def refuses_keys(operation: Operation, asker: Asker) -> None:
    """401 without a valid key, 403 with one that may do something else."""
    for wrong in KEYS.some():
        answer = asker.ask(headers={"Authorization": wrong})
        assert answer.status_code == 401, operation.label
        assert answer.headers["WWW-Authenticate"].startswith("Bearer"), operation.label
    other = "usage:read" if "secrets" in operation.path else "secrets:read"
    key = issue_key(tenant=asker.own.party.tenant, name="poor", scopes=[other]).secret
    assert asker.ask(headers={"Authorization": f"Bearer {key}"}).status_code == 403, operation.label


def refuses_what_is_no_object(operation: Operation, asker: Asker) -> None:
    """400 for what is no JSON, or not such as is expected; 413 for what is too large."""
    is_needed = operation.definition.raw["requestBody"].get("required", False)
    for body in (*BODIES.some(), *([b""] if is_needed else [])):
        answer = asker.ask(headers={"Content-Type": JSON}, raw=body)
        assert answer.status_code == 400, (operation.label, body[:20], answer.text)
    large = b" " * (1 << 20) + b"{}"
    assert asker.ask(headers={"Content-Type": JSON}, raw=large).status_code == 413, operation.label


def refuses_media_types(operation: Operation, asker: Asker) -> None:
    """415 for a kind that is not read; where all is read as JSON, 400 for what is none."""
    for kind in KINDS.some():
        answer = asker.ask(headers={"Content-Type": kind}, raw=b"<a/>")
        assert answer.status_code in (400, 415), (operation.label, kind)


def refuses_methods(service: Service) -> None:
    """405 for all that the document does not show; `Allow` names what it shows."""
    schemas = service.document["components"]
    forms = {
        openai: Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": schemas})
        for openai, name in ((True, "OpenAIError"), (False, "Problem"))
    }
    for path, operations in service.document["paths"].items():
        url = path.format_map(named(path, service.own))
        served = {method.upper() for method in operations}
        for method in METHODS - served:
            answer = service.session.request(method, service.url + url, headers=service.own.headers, timeout=PATIENCE_S)
            assert answer.status_code == 405, (method, url, answer.text)
            allowed = set(re.split(", *", answer.headers["Allow"])) - {"HEAD", "OPTIONS"}
            assert allowed == served, (method, url)
            forms[path.startswith("/v1/")].validate(answer.json())
