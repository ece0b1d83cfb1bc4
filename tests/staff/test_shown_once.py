"""Secrets that are shown once stand in the answer that made them, and nowhere else: in no cookie, no session, no later page."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.contrib.sessions.models import Session
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from tests.scene import Scene
from webhooks.services import create_endpoint

SECRET = re.compile(r'value="((?:ops|whsec)_[^"]{20,})"')
LIMITS = ("max_waiting", "max_running", "requests_per_minute", "tokens_per_minute", "tokens_per_month")
URL = "https://hooks.example/"


def a_key(client: Client, scene: Scene) -> HttpResponse:
    form = {"tenant": str(scene.ann.tenant.pk), "name": "new", "scopes": "", **dict.fromkeys(LIMITS, 0)}
    return client.post(reverse("admin:tenants_apikey_add"), form)


def a_key_on_its_tenants_page(client: Client, scene: Scene) -> HttpResponse:
    address = reverse("console:tenant_key_new", args=[scene.ann.tenant.slug])
    key_id = str(client.get(address).context["form"]["key_id"].value())
    return client.post(address, {"key_id": key_id, "name": "new"})


def an_endpoint(client: Client, scene: Scene) -> HttpResponse:
    return client.post(reverse("admin:webhooks_endpoint_add"), {"tenant": str(scene.ann.tenant.pk), "url": URL})


def two_rotated_endpoints(client: Client, scene: Scene) -> HttpResponse:
    made = [create_endpoint(tenant=scene.ann.tenant, url=URL).endpoint for _ in range(2)]
    asked = {"action": "rotate", "_selected_action": [str(one.pk) for one in made]}
    return client.post(reverse("admin:webhooks_endpoint_changelist"), asked)


@pytest.mark.parametrize(
    ("make", "count"), [(a_key, 1), (a_key_on_its_tenants_page, 1), (an_endpoint, 1), (two_rotated_endpoints, 2)]
)
def test_a_secret_is_in_the_answer_alone(
    admin_client: Client, scene: Scene, make: Callable[[Client, Scene], HttpResponse], count: int
) -> None:
    answer = make(admin_client, scene)
    secrets = set(SECRET.findall(answer.content.decode().replace("&#x2B;", "+")))
    assert (answer.status_code, len(secrets)) == (200, count)
    assert "no-store" in answer["Cache-Control"]
    assert "messages" not in answer.cookies  # a cookie of Django's messages is packed: its text would tell nothing
    back = admin_client.get(answer.context["back"])
    kept = [morsel.value for morsel in (*answer.cookies.values(), *admin_client.cookies.values())]
    kept += [str(session.get_decoded()) for session in Session.objects.all()]
    kept.append(back.content.decode())
    assert not [secret for secret in secrets if any(secret in text for text in kept)]


def test_a_webhooks_secret_stands_under_what_the_webhook_is_called(admin_client: Client, scene: Scene) -> None:
    assert f"signing secret of {URL}" in an_endpoint(admin_client, scene).content.decode()
