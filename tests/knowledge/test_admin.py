"""Collections and documents in the console."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from knowledge.models import Collection, Document
from knowledge.services import create_collection, put_document
from tenants.models import ApiKey
from tests.scene import Scene


@pytest.fixture
def document(scene: Scene) -> Document:
    tenant = scene.ann.tenant
    collection = create_collection(tenant=tenant, slug="guide", name="Guide", pool=scene.pool.slug)
    key = ApiKey.objects.for_tenant(tenant).get()
    return put_document(collection=collection, title="The title", text="The text", api_key=key)[0]


def test_pages(admin_client: Client, document: Document) -> None:
    for kind, row in (("collection", document.collection), ("document", document)):
        shown = admin_client.get(reverse(f"admin:knowledge_{kind}_changelist"), {"q": "guide"})
        assert shown.status_code == 200
        assert str(row) in shown.content.decode()
        page = admin_client.get(reverse(f"admin:knowledge_{kind}_change", args=[row.pk]))
        assert page.status_code == 200
        expected = {"collection": 403, "document": 200}[kind]
        assert admin_client.get(reverse(f"admin:knowledge_{kind}_add")).status_code == expected
        assert (
            reverse(f"admin:knowledge_{kind}_changelist") in admin_client.get(reverse("admin:index")).content.decode()
        )


def test_a_document_that_failed_is_tried_again(admin_client: Client, document: Document) -> None:
    rows = Document.objects.for_tenant(document.tenant_id)
    rows.update(state="failed", error={"code": "x", "message": "y"})
    form = {"action": "try_again", "_selected_action": [str(document.pk)]}
    answer = admin_client.post(reverse("admin:knowledge_document_changelist"), form, follow=True)
    assert "1 documents wait" in answer.content.decode()
    assert rows.get().state == "waiting"


def test_a_collection_is_deleted_with_what_is_in_it(admin_client: Client, document: Document) -> None:
    where = reverse("admin:knowledge_collection_delete", args=[document.collection_id])
    assert admin_client.get(where).status_code == 200
    assert admin_client.post(where, {"post": "yes"}).status_code == 302
    assert not Collection.objects.for_tenant(document.tenant_id).exists()
    assert not Document.objects.for_tenant(document.tenant_id).exists()


@pytest.fixture
def asked(document: Document) -> dict[str, object]:
    return {"collection": document.collection_id, "api_key": document.api_key_id, "title": "News", "format": "markdown"}


def test_a_document_is_uploaded_and_replaced(
    admin_client: Client, document: Document, asked: dict[str, object]
) -> None:
    where = reverse("admin:knowledge_document_add")
    file = SimpleUploadedFile("news.md", "# Nytt \u00e5r".encode())
    assert admin_client.post(where, {**asked, "file": file}).status_code == 302
    row = Document.objects.for_tenant(document.tenant_id).get(title="News")
    assert (row.text, row.format, row.state, row.api_key_id) == (
        "# Nytt \u00e5r",
        "markdown",
        "waiting",
        document.api_key_id,
    )
    shown = admin_client.post(where, {**asked, "text": "Later"}, follow=True).content.decode()
    assert "its text is replaced" in shown
    row.refresh_from_db()
    assert (row.text, row.version) == ("Later", 2)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, "Give either a file or a text."),
        ({"file": b"%PDF-1.7", "text": "x"}, "Give either a file or a text."),
        ({"file": b"%PDF-1.7"}, "PDF is not read here"),
        ({"file": b"\xff\xfe"}, "must be text in UTF-8"),
        ({"file": b" \n"}, "The file is empty."),
        ({"text": "x", "api_key": ""}, "This field is required."),
        ({"text": "x", "title": ""}, "This field is required."),
    ],
)
def test_an_upload_that_does_not_fit_is_refused_beside_its_field(
    admin_client: Client, document: Document, asked: dict[str, object], said: dict[str, object], expected: str
) -> None:
    files = {"file": SimpleUploadedFile("f", said["file"])} if "file" in said else {}  # type: ignore[arg-type]
    answer = admin_client.post(reverse("admin:knowledge_document_add"), {**asked, **said, **files})
    assert (answer.status_code, expected in answer.content.decode()) == (200, True)
    assert Document.objects.for_tenant(document.tenant_id).count() == 1


def test_nothing_is_uploaded_in_another_tenant_s_name(
    admin_client: Client, scene: Scene, document: Document, asked: dict[str, object]
) -> None:
    key = ApiKey.objects.for_tenant(scene.bob.tenant).get()
    answer = admin_client.post(reverse("admin:knowledge_document_add"), {**asked, "text": "x", "api_key": key.pk})
    assert f"Choose a key of {scene.ann.tenant}" in answer.content.decode()
    assert Document.objects.for_tenant(document.tenant_id).count() == 1
