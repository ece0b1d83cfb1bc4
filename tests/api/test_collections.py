"""Collections and documents by REST, without a fleet: what is taken, what is refused by its name, whose it is."""

from __future__ import annotations

from typing import Any

import pytest

from knowledge.models import Collection, Document
from orchestrator.models import Pool
from tenants.services import issue_key
from tests.api.conftest import Application, refused
from tests.scene import Scene

COLLECTIONS = "/api/v1/collections"
DOCUMENTS = f"{COLLECTIONS}/guide/documents"


@pytest.fixture
def guide(ann: Application, scene: Scene) -> dict[str, Any]:
    answer = ann.post(COLLECTIONS, {"slug": "guide", "pool": scene.pool.slug})
    assert answer.status_code == 201, answer.content
    made: dict[str, Any] = answer.json()
    return made


def test_a_collection(ann: Application, bob: Application, guide: dict[str, Any], scene: Scene) -> None:
    shown = {name: value for name, value in guide.items() if name not in ("id", "created_at")}
    assert shown == {
        "slug": "guide", "name": "guide", "pool": scene.pool.slug, "dimensions": None, "indexed": False, "chunk_size": 200,
        "chunk_overlap": 30,
    }  # fmt: skip
    assert ann.get(f"{COLLECTIONS}/guide").json() == guide
    assert ann.names(COLLECTIONS, "slug") == ["guide"]
    assert bob.names(COLLECTIONS, "slug") == []
    refused(bob.get(f"{COLLECTIONS}/guide"), 404)
    refused(bob.delete(f"{COLLECTIONS}/guide"), 404)
    refused(ann.post(COLLECTIONS, {"slug": "guide", "pool": scene.pool.slug}), 409, "slug")
    assert bob.post(COLLECTIONS, {"slug": "guide", "pool": scene.pool.slug}).status_code == 201
    assert ann.delete(f"{COLLECTIONS}/guide").status_code == 204
    assert Collection.objects.for_tenant(scene.bob.tenant).count() == 1


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("pool", {"pool": "nobody"}),
        ("pool", {"pool": "chat"}),
        ("pool", {"pool": "bobs"}),
        ("slug", {"slug": "no spaces"}),
        ("chunk_size", {"chunk_size": 0}),
        ("chunk_size", {"chunk_size": 10_000}),
        ("chunk_overlap", {"chunk_size": 10, "chunk_overlap": 6}),
        ("colour", {"colour": "red"}),
    ],
)
def test_collections_that_are_refused(ann: Application, scene: Scene, field: str, more: dict[str, Any]) -> None:
    Pool.objects.create(slug="chat", name="x", engine=Pool.Engine.VLLM)
    Pool.objects.create(slug="bobs", name="x", engine=Pool.Engine.EMBEDDING, tenant=scene.bob.tenant)
    refused(ann.post(COLLECTIONS, {"slug": "new", "pool": scene.pool.slug, **more}), 400, field)


def test_a_document_in_json_and_as_text(ann: Application, guide: dict[str, Any]) -> None:
    body = {"title": "One", "text": " # Hä\n", "format": "markdown", "metadata": {"lang": "de"}}
    answer = ann.post(DOCUMENTS, body)
    assert answer.status_code == 201
    made = answer.json()
    assert answer.headers["Location"] == f"/api/v1/documents/{made['id']}"
    assert (made["state"], made["version"], made["chunk_count"], made["error"]) == ("waiting", 1, 0, None)
    assert ann.get(f"/api/v1/documents/{made['id']}").json() == {**made, "text": " # Hä\n"}
    text = ann.client.post(f"{DOCUMENTS}?title=Two", b"Zwei", "text/plain", headers=ann.party.headers)
    assert (text.status_code, text.json()["format"]) == (201, "text")
    same = ann.client.post(
        f"{DOCUMENTS}?title=Two", b"# Two", "text/markdown; charset=utf-8", headers=ann.party.headers
    )
    assert (same.status_code, same.json()["id"]) == (200, text.json()["id"])
    assert (same.json()["format"], same.json()["version"]) == ("markdown", 2)
    assert ann.names(DOCUMENTS, "title") == ["Two", "One"]
    assert ann.names(DOCUMENTS, "title", title="One", state="waiting") == ["One"]
    assert ann.names(DOCUMENTS, "title", state="ready") == []
    assert ann.delete(f"/api/v1/documents/{made['id']}").status_code == 204
    assert ann.names(DOCUMENTS, "title") == ["Two"]


def test_documents_that_are_refused(ann: Application, guide: dict[str, Any]) -> None:
    good = {"title": "T", "text": "x"}
    for field, body in (
        ("title", {"text": "x"}),
        ("text", {**good, "text": "  "}),
        ("text", {"title": "T"}),
        ("format", {**good, "format": "pdf"}),
        ("metadata", {**good, "metadata": 3}),
        ("state", {**good, "state": "ready"}),
    ):
        refused(ann.post(DOCUMENTS, body), 400, field)

    def send(body: bytes, kind: str, query: str = "?title=T") -> Any:
        return ann.client.post(DOCUMENTS + query, body, kind, headers=ann.party.headers)

    for body, kind in ((b"%PDF-1.7", "application/pdf"), (b"%PDF-1.7", "text/plain")):
        assert "PDF is not read here" in refused(send(body, kind), 415, code="unsupported_media_type")["detail"]
    refused(send(b"x", "image/png"), 415)
    refused(send(b"\xff", "text/plain"), 400, "body")
    refused(send(b"a\x00b", "text/plain"), 400, "body")
    refused(send(b"x", "text/plain", ""), 400, "title")
    refused(send(b"x", "text/plain", "?title=T&lang=de"), 400, "lang")
    refused(send(b"x" * (1 << 20) + b"x", "text/plain"), 413)
    assert not Document.objects.for_tenant(ann.party.tenant).exists()


def test_scopes(ann: Application, guide: dict[str, Any], scene: Scene) -> None:
    secret = issue_key(tenant=scene.ann.tenant, name="reader", scopes=["knowledge:read"]).secret
    headers = {"Authorization": f"Bearer {secret}"}
    assert ann.client.get(COLLECTIONS, headers=headers).status_code == 200
    denied = ann.client.post(DOCUMENTS, b"{}", "application/json", headers=headers)
    refused(denied, 403, code="missing_scope")
