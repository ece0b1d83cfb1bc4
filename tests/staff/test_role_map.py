"""Which role a claim gives."""

from __future__ import annotations

import pytest

from staff.role_map import BadRoleMap, Grant, RoleMap


@pytest.mark.parametrize(
    ("claimed", "grant"),
    [
        (["ops"], Grant("operator")),
        (["watchers", "ops"], Grant("operator")),  # the setting's order counts
        ("watchers", Grant("viewer")),
        (["acme-it"], Grant("tenant_administrator", "acme")),
        (["OPS"], None),
        (["op"], None),
        ("opsy", None),
        ([], None),
        (None, None),
        (7, None),
        ([{"name": "ops"}], None),
    ],
)
def test_a_claim_gives_what_the_setting_maps_it_to(claimed: object, grant: Grant | None) -> None:
    given = RoleMap.parse("ops=operator, watchers=viewer, acme-it=tenant_administrator:acme")
    assert given.grant_for(claimed) == grant


def test_an_empty_setting_gives_nobody_anything() -> None:
    assert RoleMap.parse("").grant_for(["ops"]) is None


@pytest.mark.parametrize(
    "text", ["ops", "=operator", "ops=root", "acme=tenant_administrator", "ops=operator:acme", "a=viewer, b"]
)
def test_what_cannot_be_read_is_said(text: str) -> None:
    with pytest.raises(BadRoleMap, match="OPSITE_OIDC_ROLES"):
        RoleMap.parse(text)
