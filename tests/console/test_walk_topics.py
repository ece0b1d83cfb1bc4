"""Everybody follows every topic of the console's websocket; `table` says who is answered."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.test import Client

from console.consumer import NOT_ALLOWED
from console.routing import websocket_urlpatterns
from console.topics import TOPICS
from tests.console import table
from tests.console.everything import Everything
from tests.console.table import NO, Page
from tests.staff.members import member

PATIENCE_S = 30.0

pytestmark = pytest.mark.django_db(transaction=True)


async def opened(user: User | None) -> tuple[WebsocketCommunicator, bool, int]:
    """The socket as a browser opens it that is logged in as this user."""
    client = Client()
    if user is not None:
        await sync_to_async(client.force_login)(user)
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    application = AuthMiddlewareStack(URLRouter(websocket_urlpatterns))
    socket = WebsocketCommunicator(application, "/ws/console/", headers=[(b"cookie", cookies.encode())])
    connected, code = await socket.connect(timeout=PATIENCE_S)
    return socket, connected, code or 0


async def first_word(socket: WebsocketCommunicator, name: str, of: str) -> dict[str, Any]:
    await socket.send_json_to({"follow": name, "of": of})
    told: dict[str, Any] = await socket.receive_json_from(timeout=PATIENCE_S)
    await socket.send_json_to({"leave": name, "of": of})
    return told


def named(page: Page, everything: Everything) -> str:
    return str(getattr(everything.row(page.of, everything.ann), page.by)) if page.of else ""


def test_the_table_has_a_line_for_each_topic() -> None:
    assert set(TOPICS) == set(table.TOPICS), "say in TOPICS of tests/console/table.py who may follow these"


async def test_topics_answer_those_whose_they_are() -> None:
    everything = await sync_to_async(Everything.make)()
    ann, bob = everything.ann.party.tenant, everything.bob.party.tenant
    walkers: list[tuple[str, User]] = [
        ("viewer", await sync_to_async(member)("viewer")),
        ("own", await sync_to_async(member)("tenant_administrator", ann)),
        ("another", await sync_to_async(member)("tenant_administrator", bob)),
    ]
    marks = await sync_to_async(everything.marks)(everything.ann)
    for who, user in walkers:
        socket, connected, _ = await opened(user)
        assert connected
        for name, page in table.TOPICS.items():
            of = await sync_to_async(named)(page, everything)
            told = await first_word(socket, name, of)
            word = {"viewer": page.viewer, "own": page.tenant, "another": NO if page.of else page.tenant}[who]
            assert ("error" in told) == (word == NO), (who, name, told)
            if who == "another":
                assert not any(mark in str(told).replace(of or "-", "") for mark in marks), (name, told)
        await socket.disconnect()


async def test_who_has_no_role_follows_nothing() -> None:
    for user in (None, await sync_to_async(member)(None)):
        _, connected, code = await opened(user)
        assert (connected, code) == (False, NOT_ALLOWED)
