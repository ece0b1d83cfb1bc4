"""Collections and documents in the console."""

from __future__ import annotations

import pytest
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
        assert admin_client.get(reverse(f"admin:knowledge_{kind}_add")).status_code == 403
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
