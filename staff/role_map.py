"""Which role a claim of the OpenID provider gives. Pure: no Django, no provider."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

ROLES = ("operator", "viewer", "tenant_administrator")


class BadRoleMap(ValueError):
    """OPSITE_OIDC_ROLES cannot be read."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A role, and the slug of a tenant administrator's tenant."""

    role: str
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class RoleMap:
    """Values of the claim with what each gives, in the order of the setting."""

    grants: tuple[tuple[str, Grant], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `ops=operator, watchers=viewer, acme-it=tenant_administrator:acme`. Raises `BadRoleMap`."""
        return cls(tuple(_grant(piece.strip()) for piece in text.split(",") if piece.strip()))

    def grant_for(self, claimed: object) -> Grant | None:
        """What the claim's value, a text or a list of texts, gives; None: nothing, so no access."""
        values = {claimed} if isinstance(claimed, str) else _texts(claimed)
        return next((grant for value, grant in self.grants if value in values), None)


def _texts(claimed: object) -> set[str]:
    return {one for one in claimed if isinstance(one, str)} if isinstance(claimed, Iterable) else set()


def _grant(piece: str) -> tuple[str, Grant]:
    value, _, given = piece.rpartition("=")
    role, _, tenant = given.strip().partition(":")
    if not value.strip() or role not in ROLES or (role == "tenant_administrator") != bool(tenant):
        raise BadRoleMap(
            f"OPSITE_OIDC_ROLES: {piece!r} must be group=operator, group=viewer or group=tenant_administrator:tenant-slug"
        )
    return value.strip(), Grant(role, tenant or None)
