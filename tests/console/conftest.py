"""Staff of each role at the console, by Django's test client."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from staff.models import StaffRole
from tenants.models import Tenant

Enter = Callable[..., Client]


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
