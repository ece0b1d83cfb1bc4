"""Staff of each role at the console, by Django's test client."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from staff.models import StaffRole
from tenants.models import Tenant
from tenants.services import create_tenant
from tests.scene import Scene

Enter = Callable[..., Client]
As = Callable[[str], Client]


@pytest.fixture
def enter(db: None) -> Enter:
    """Logs a new member of staff in; `client.user` is who."""

    def enter(role: str, tenant: Tenant | None = None) -> Client:
        user = User.objects.create_user(f"{role}-{User.objects.count()}", is_staff=True)
        user.user_permissions.set(Permission.objects.all())
        StaffRole.objects.create(user=user, role=role, tenant=tenant)
        client = Client()
        client.force_login(user)
        client.user = user  # type: ignore[attr-defined]
        return client

    return enter


@pytest.fixture
def operator(enter: Enter) -> Client:
    return enter("operator")


@pytest.fixture
def client_of(db: None) -> As:
    """A client that is logged in with a role; a tenant administrator's tenant is new, and empty means none."""

    def log_in(role: str) -> Client:
        user = User.objects.create_user(f"a-{role or 'nobody'}", is_staff=True)
        if role:
            tenant = create_tenant(slug="theirs", name="Theirs") if role == "tenant_administrator" else None
            StaffRole.objects.create(user=user, role=role, tenant=tenant)
        client = Client()
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def scene(db: None) -> Scene:
    return Scene.make()
