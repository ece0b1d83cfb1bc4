"""Tenants' secrets in the database: set, opened for a call, encrypted anew; and shown by nothing."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

import pytest
from django.core.management import call_command
from django.core.serializers import serialize
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from tenants.models import Secret
from tenants.references import UnknownSecret
from tenants.secrets import BadSecret, open_secrets, put_secret
from tenants.vault import CannotOpen
from tests.scene import Scene

VALUE = "sk-the-value-itself"


def key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def test_a_secret_is_set_again_and_opened(scene: Scene) -> None:
    ann = scene.ann.tenant
    first, is_new = put_secret(tenant=ann, name="API_KEY", value="other")
    again, is_newer = put_secret(tenant=ann, name="API_KEY", value=VALUE)
    assert (first.pk, is_new, is_newer) == (again.pk, True, False)
    assert again.changed_at > first.changed_at
    assert open_secrets(ann.pk, ["API_KEY"]) == {"API_KEY": VALUE}
    assert open_secrets(ann.pk, []) == {}


def test_another_tenant_s_secret_is_unknown_and_its_ciphertext_does_not_open(scene: Scene) -> None:
    row, _ = put_secret(tenant=scene.ann.tenant, name="API_KEY", value=VALUE)
    with pytest.raises(UnknownSecret, match="API_KEY"):
        open_secrets(scene.bob.tenant.pk, ["API_KEY"])
    Secret.objects.create(tenant=scene.bob.tenant, name="API_KEY", ciphertext=row.ciphertext)
    with pytest.raises(CannotOpen):
        open_secrets(scene.bob.tenant.pk, ["API_KEY"])


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [("a b", VALUE, "name"), ("", VALUE, "name"), ("a" * 64, VALUE, "name"), ("a\n", VALUE, "name"), ("a", "abc", "value"),
     ("a", "x" * 8193, "value"), ("a", "two\nlines", "value")],
)  # fmt: skip
def test_what_does_not_fit_is_refused_without_the_value(scene: Scene, name: str, value: str, field: str) -> None:
    with pytest.raises(BadSecret) as caught:
        put_secret(tenant=scene.ann.tenant, name=name, value=value)
    assert caught.value.field == field
    assert value not in str(caught.value)


def test_the_database_takes_no_secret_that_is_not_one(scene: Scene) -> None:
    for row in ({"name": "a b", "ciphertext": "x"}, {"name": "a", "ciphertext": ""}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Secret.objects.create(tenant=scene.ann.tenant, **row)


def test_the_row_shows_nothing(scene: Scene) -> None:
    row, _ = put_secret(tenant=scene.ann.tenant, name="API_KEY", value=VALUE)
    assert VALUE not in repr(row) + str(row) + json.dumps(json.loads(serialize("json", [row])))


def test_all_are_encrypted_anew_after_a_rotation(
    scene: Scene, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = key(), key()
    settings.OPSITE_SECRETS_KEYS = old
    for party in (scene.ann, scene.bob):
        put_secret(tenant=party.tenant, name="API_KEY", value=VALUE)
    settings.OPSITE_SECRETS_KEYS = f"{new},{old}"
    assert open_secrets(scene.ann.tenant.pk, ["API_KEY"]) == {"API_KEY": VALUE}
    call_command("reencrypt_secrets")
    assert "2 secrets" in capsys.readouterr().out
    settings.OPSITE_SECRETS_KEYS = new
    for party in (scene.ann, scene.bob):
        assert open_secrets(party.tenant.pk, ["API_KEY"]) == {"API_KEY": VALUE}
    settings.OPSITE_SECRETS_KEYS = old
    with pytest.raises(CannotOpen):
        open_secrets(scene.ann.tenant.pk, ["API_KEY"])


def test_the_console_takes_a_value_and_shows_none(admin_client: Client, scene: Scene) -> None:
    add = reverse("admin:tenants_secret_add")
    form = {"tenant": str(scene.ann.tenant.pk), "name": "API_KEY", "value": VALUE}
    assert "control characters" in admin_client.post(add, form | {"value": "two\tparts"}).content.decode()
    pages = [admin_client.post(add, form, follow=True)]
    row = Secret.objects.for_tenant(scene.ann.tenant).get()
    change = reverse("admin:tenants_secret_change", args=[row.pk])
    pages += [admin_client.get(change), admin_client.get(reverse("admin:tenants_secret_changelist"))]
    pages += [admin_client.get(reverse("admin:tenants_secret_history", args=[row.pk]), follow=True)]
    for page in pages:
        assert page.status_code == 200
        assert VALUE not in page.content.decode()
        assert row.ciphertext not in page.content.decode()
    assert open_secrets(scene.ann.tenant.pk, ["API_KEY"]) == {"API_KEY": VALUE}
    assert admin_client.post(change, {"value": VALUE + "2"}).status_code == 302
    assert open_secrets(scene.ann.tenant.pk, ["API_KEY"]) == {"API_KEY": VALUE + "2"}
