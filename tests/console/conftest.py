"""Staff of each role at the console, by Django's test client."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from tests.scene import Scene
from tests.staff.members import at_the_console

Enter = Callable[..., Client]


@pytest.fixture
def enter(db: None) -> Enter:
    """`at_the_console`, where there is a database."""
    return at_the_console


@pytest.fixture
def operator(enter: Enter) -> Client:
    return enter("operator")


@pytest.fixture
def scene(db: None) -> Scene:
    return Scene.make()
