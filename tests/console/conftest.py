"""Staff with each role, as Django's test client."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client

from staff.models import StaffRole
from tenants.services import create_tenant

As = Callable[[str], Client]


@pytest.fixture
def client_of(db: None) -> As:
    """A client that is logged in with a role (`operator`, `viewer`, `tenant_administrator`; empty: with none)."""

    def log_in(role: str) -> Client:
        user = User.objects.create_user(f"a-{role or 'nobody'}", is_staff=True)
        if role:
            tenant = create_tenant(slug="theirs", name="Theirs") if role == "tenant_administrator" else None
            StaffRole.objects.create(user=user, role=role, tenant=tenant)
        client = Client()
        client.force_login(user)
        return client

    return log_in
