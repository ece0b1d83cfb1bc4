"""Members of staff for tests, and their browsers."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.test import Client

    from tenants.models import Tenant


def member(role: str | None, tenant: Tenant | None = None, *, name: str = "", **more: Any) -> User:
    """Somebody with that role (None: with none), under a name that no other test uses, unless one is given."""
    from django.contrib.auth.models import User

    from staff.models import StaffRole

    user = User.objects.create_user(name or f"{role or 'nobody'}-{uuid.uuid4().hex[:8]}", is_staff=True, **more)
    if role is not None:
        StaffRole.objects.create(user=user, role=role, tenant=tenant)
    return user


def at_the_console(role: str | None, tenant: Tenant | None = None) -> Client:
    """A browser in which such a member is logged in; `client.user` is who."""
    from django.test import Client

    client = Client()
    client.user = member(role, tenant)  # type: ignore[attr-defined]
    client.force_login(client.user)  # type: ignore[attr-defined]
    return client
