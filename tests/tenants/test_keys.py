"""API keys: random, known by digest only, revocable."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from tenants import keys, selectors, services
from tenants.models import ApiKey
from tests.scene import Scene


def test_a_key_is_not_in_what_is_stored(scene: Scene) -> None:
    issued = services.issue_key(tenant=scene.ann.tenant, name="app")
    row = ApiKey.objects.for_tenant(scene.ann.tenant).filter(pk=issued.key.pk).values().get()
    assert issued.secret not in str(row)
    assert row["digest"] == keys.digest(issued.secret)
    assert len(issued.secret) == 47


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (None, None),
        ("", None),
        ("Bearer ops_x", "ops_x"),
        ("bearer ops_x ", "ops_x"),
        ("Basic ops_x", None),
        ("Bearer", None),
        ("Bearer  ", None),
    ],
)
def test_reading_the_header(header: str | None, key: str | None) -> None:
    assert keys.from_authorization(header) == key


def test_revoked_expired_and_inactive_keys_are_refused(scene: Scene) -> None:
    secret = scene.ann.key
    key = selectors.valid_key(secret)
    assert key is not None
    services.revoke_key(key=key)
    assert selectors.valid_key(secret) is None
    expired = services.issue_key(tenant=scene.ann.tenant, name="old", expires_at=timezone.now() - timedelta(seconds=1))
    assert selectors.valid_key(expired.secret) is None
    scene.bob.tenant.is_active = False
    scene.bob.tenant.save()
    assert selectors.valid_key(scene.bob.key) is None


def test_unknown_scopes_are_refused(scene: Scene) -> None:
    with pytest.raises(ValueError, match="known are tasks:write"):
        services.issue_key(tenant=scene.ann.tenant, name="x", scopes=["everything"])
