"""A real web process, and the system's Chromium in front of it.

Playwright's synchronous interface holds an event loop in this thread, which Django takes for asynchronous code, and which
pytest-asyncio cannot do with: tests here are plain functions, and the browser is closed when the folder is done.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, sync_playwright

from tests.browser.room import Room
from tests.faces.conftest import Web, live_scene, start, web
from tests.processes import Process

__all__ = ["live_scene", "start", "web"]

CHROMIUM = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder need Chromium."""
    for item in items:
        if item.nodeid.startswith("tests/browser/"):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The system's Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def server() -> str:
    """The default server; the hot routes' tests try the other one as well."""
    return "daphne"


@pytest.fixture(autouse=True)
def _django_beside_playwright(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


@pytest.fixture
def enter(web: Web, browser: Browser) -> Iterator[Callable[..., Room]]:
    """Opens the console for an account, a superuser's unless one is given; nothing may go wrong in any of its windows."""
    rooms: list[Room] = []

    def enter(user: User | None = None) -> Room:
        password = secrets.token_urlsafe(12)
        if user is None:
            user = User.objects.create_superuser(f"operator-{secrets.token_hex(4)}", "", password)
        user.set_password(password)
        user.save()
        room = Room.enter(browser, web.url)
        rooms.append(room)
        room.log_in(user.get_username(), password)
        return room

    yield enter
    for room in rooms:
        room.leave()


@pytest.fixture
def room(enter: Callable[..., Room]) -> Room:
    """An operator at the console."""
    return enter()


@pytest.fixture
def fleet(start: Callable[..., Process], web: Web) -> Iterator[None]:
    """The rest of the service beside the web process: orchestrator (workers as processes), recorder, effects.

    Workers outlive their orchestrator, so they are ended after the test.
    """
    orchestrator, *_ = [start(command) for command in ("orchestrate", "record", "effects")]
    yield
    orchestrator.terminate()
    orchestrator.wait(60)
    assert start("stop_fleet").wait(60) == 0
