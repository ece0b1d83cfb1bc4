"""Members of staff, logged in, by their roles."""

from __future__ import annotations

import secrets

from django.contrib.auth.models import User
from django.test import Client

from staff.models import StaffRole
from tenants.models import Tenant

Role = StaffRole.Role


def member(role: str, tenant: Tenant | None = None) -> User:
    """An account with a role; `tenant` is a tenant administrator's."""
    user = User.objects.create_user(f"{role}-{secrets.token_hex(4)}", is_staff=True)
    StaffRole.objects.create(user=user, role=role, tenant=tenant)
    return user


def at_the_console(role: str, tenant: Tenant | None = None) -> Client:
    """A browser of such a member."""
    client = Client()
    client.force_login(member(role, tenant))
    return client
