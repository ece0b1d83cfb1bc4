"""Members of staff by their roles."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client

from staff.models import StaffRole
from tests.scene import Scene

Staff = Callable[..., Client]


@pytest.fixture
def scene(db: None) -> Scene:
    return Scene.make()


@pytest.fixture
def staff(db: None) -> Staff:
    """A client that is logged in as somebody of a role; a tenant administrator has a tenant."""

    def enter(role: str, **more: object) -> Client:
        user = User.objects.create_user(f"{role}-{secrets.token_hex(4)}", is_staff=True)
        StaffRole.objects.create(user=user, role=role, **more)
        client = Client()
        client.force_login(user)
        return client

    return enter
