"""Webhooks in the console, and what is kept of them."""

from __future__ import annotations

import base64
import os
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import Entry
from opsite.jobs import retention
from tenants.secrets import vault
from tenants.vault import CannotOpen
from tests.scene import Scene
from webhooks.models import Attempt, Delivery, Endpoint
from webhooks.services import PURPOSE, create_endpoint, ping, rotate_secret

URL = "https://hooks.example/"


def test_an_endpoint_is_made_changed_rotated_and_tested(admin_client: Client, scene: Scene) -> None:
    add, lists = reverse("admin:webhooks_endpoint_add"), reverse("admin:webhooks_endpoint_changelist")
    form = {
        "tenant": str(scene.ann.tenant.pk),
        "url": URL,
        "description": "ours",
        "event_types": "task.failed",
        "enabled": "on",
    }
    assert "not a public address" in admin_client.post(add, form | {"url": "http://10.0.0.1/"}).content.decode()
    assert "nothing announces" in admin_client.post(add, form | {"event_types": "task.nope"}).content.decode()
    shown = admin_client.post(add, form, follow=True).content.decode()
    row = Endpoint.objects.for_tenant(scene.ann.tenant).get()
    secret = vault().open(row.secret, tenant=scene.ann.tenant.pk, purpose=PURPOSE)
    assert secret in shown.replace("&#x2B;", "+")
    change = reverse("admin:webhooks_endpoint_change", args=[row.pk])
    assert secret not in admin_client.get(change).content.decode()
    Endpoint.objects.for_tenant(scene.ann.tenant).update(enabled=False, disabled_reason="It answered 410 Gone.")
    assert "410 Gone" in admin_client.get(lists).content.decode()
    assert admin_client.post(change, form | {"event_types": ""}).status_code == 302
    row.refresh_from_db()
    assert (row.enabled, row.disabled_reason, row.event_types, row.url) == (True, "", [], URL)
    for action in ("rotate", "test"):
        admin_client.post(lists, {"action": action, "_selected_action": [str(row.pk)]})
    row.refresh_from_db()
    assert row.old_secret_expires_at is not None
    assert Delivery.objects.for_tenant(scene.ann.tenant).get().type == "webhook.test"


def test_deliveries_are_shown_with_their_attempts_and_replayed(admin_client: Client, scene: Scene) -> None:
    delivery = ping(endpoint=create_endpoint(tenant=scene.ann.tenant, url=URL).endpoint)
    now = timezone.now()
    Attempt.objects.create(
        tenant=scene.ann.tenant, delivery=delivery, number=1, at=now, duration_ms=3, status=500, excerpt="it said no"
    )
    lists = reverse("admin:webhooks_delivery_changelist")
    asked = {"action": "replay", "_selected_action": [str(delivery.pk)]}
    assert "is pending" in admin_client.post(lists, asked, follow=True).content.decode()
    Delivery.objects.for_tenant(scene.ann.tenant).update(state="failed", finished_at=now)
    page = admin_client.get(reverse("admin:webhooks_delivery_change", args=[delivery.pk]))
    assert "it said no" in page.content.decode()
    assert not Entry.objects.filter(action="delivery.replay").exists()
    admin_client.post(lists, asked)
    delivery.refresh_from_db()
    assert delivery.state == "pending"
    assert Entry.objects.get(action="delivery.replay").object_id == str(delivery.pk)


def test_old_deliveries_are_forgotten(scene: Scene, settings: Any) -> None:
    endpoint = create_endpoint(tenant=scene.ann.tenant, url=URL).endpoint
    old, young = ping(endpoint=endpoint), ping(endpoint=endpoint)
    rows = Delivery.objects.for_tenant(scene.ann.tenant)
    rows.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=settings.OPSITE_WEBHOOK_HISTORY_DAYS + 1))
    assert retention()["deliveries"] == 1
    assert list(rows.values_list("pk", flat=True)) == [young.pk]


def test_secrets_are_encrypted_anew_after_a_rotation_of_keys(scene: Scene, settings: Any) -> None:
    old, new = (base64.urlsafe_b64encode(os.urandom(32)).decode() for _ in range(2))
    settings.OPSITE_SECRETS_KEYS = old
    first = create_endpoint(tenant=scene.ann.tenant, url=URL)
    second = rotate_secret(endpoint=first.endpoint)
    settings.OPSITE_SECRETS_KEYS = f"{new},{old}"
    call_command("reencrypt_secrets")
    settings.OPSITE_SECRETS_KEYS = new
    row = Endpoint.objects.for_tenant(scene.ann.tenant).get()
    opened = [vault().open(each, tenant=row.tenant_id, purpose=PURPOSE) for each in (row.secret, row.old_secret)]
    assert opened == [second.secret, first.secret]
    with pytest.raises(CannotOpen):
        vault().open(row.secret, tenant=scene.bob.tenant.pk, purpose=PURPOSE)
