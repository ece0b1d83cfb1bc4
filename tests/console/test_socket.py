"""The console's websocket: who may be there, what is followed and left, one read for all, and nobody waits for a slow page."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.test import Client

from console import consumer as consumer_module
from console import readings as readings_module
from console.consumer import BAD_MESSAGE, FOLLOWED_AT_MOST, NOT_ALLOWED
from console.frame import NotFound
from console.readings import UNREADABLE, here
from console.routing import websocket_urlpatterns
from console.topics import TOPICS, Topic
from staff.access import Access
from staff.models import StaffRole
from tenants.services import create_tenant
from tests.staff import members

pytestmark = pytest.mark.django_db(transaction=True)
PATIENCE_S = 30.0
Enter = Callable[..., Awaitable[WebsocketCommunicator]]


class Source:
    """What a topic of these tests answers, and how often it was read, with whose access."""

    def __init__(self) -> None:
        self.reads: list[tuple[Access, str]] = []
        self.failing: Exception | None = None
        self.held = threading.Event()
        self.held.set()

    def read(self, access: Access, of: str) -> dict[str, Any]:
        assert self.held.wait(PATIENCE_S)
        self.reads.append((access, of))
        if self.failing is not None:
            raise self.failing
        return {"read": len(self.reads)}


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Source:
    made = Source()
    monkeypatch.setitem(TOPICS, "staff", Topic(made.read, every_s=0.02))
    monkeypatch.setitem(TOPICS, "all", Topic(made.read, every_s=0.02, for_tenant_administrators=True))
    monkeypatch.setattr(consumer_module, "CHECK_EVERY_S", 0.1)
    monkeypatch.setattr(readings_module, "RETRY_S", 0.05)
    return made


@pytest.fixture
async def enter() -> AsyncIterator[Enter]:
    """Opens the socket as a browser does that is logged in as this user; all are closed after the test."""
    sockets: list[WebsocketCommunicator] = []

    async def enter(user: User | None, *, client: Client | None = None) -> WebsocketCommunicator:
        client = client or Client()
        if user is not None:
            await sync_to_async(client.force_login)(user)
        cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
        application = AuthMiddlewareStack(URLRouter(websocket_urlpatterns))
        socket = WebsocketCommunicator(application, "/ws/console/", headers=[(b"cookie", cookies.encode())])
        sockets.append(socket)
        return socket

    yield enter
    for socket in sockets:
        await socket.disconnect()
    await until(lambda: len(here()) == 0)


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.01)


async def heard(socket: WebsocketCommunicator) -> dict[str, Any]:
    """The next message."""
    return json.loads(await socket.receive_from(timeout=PATIENCE_S))


async def closed(socket: WebsocketCommunicator) -> int:
    """The code with which it is closed, after whatever comes before."""
    while (message := await socket.receive_output(timeout=PATIENCE_S))["type"] != "websocket.close":
        pass
    return int(message["code"])


@sync_to_async
def member(name: str, role: str | None = None, **more: Any) -> User:
    """A member of staff, with a tenant of its own where the role has one."""
    tenant = create_tenant(slug=name, name=name) if role == "tenant_administrator" else None
    return members.member(role, tenant, name=name, **more)


async def test_who_has_no_role_is_refused(source: Source, enter: Enter) -> None:
    for user in (None, await member("nobody"), await member("gone", "viewer", is_active=False)):
        assert await (await enter(user)).connect(timeout=PATIENCE_S) == (False, NOT_ALLOWED)


async def test_a_topic_is_followed_until_it_is_left(source: Source, enter: Enter) -> None:
    socket = await enter(await member("v", "viewer"))
    assert (await socket.connect(timeout=PATIENCE_S))[0]
    await socket.send_json_to({"follow": "staff", "of": "x"})
    numbers = [(await heard(socket))["data"]["read"] for _ in range(3)]
    assert numbers == sorted(set(numbers))
    assert source.reads[0] == (Access("viewer"), "x")
    await socket.send_json_to({"leave": "staff", "of": "x"})
    await socket.send_json_to({"leave": "staff", "of": "never followed"})
    await until(lambda: len(here()) == 0)
    before = len(source.reads)
    await socket.send_json_to({"follow": "staff"})
    while (message := await heard(socket))["of"] == "x":
        pass
    assert message["data"]["read"] > before - 1
    assert source.reads[-1][1] == ""


async def test_all_who_look_share_one_read(source: Source, enter: Enter) -> None:
    source.held.clear()
    sockets = [await enter(await member(f"m{n}", role)) for n, role in enumerate(("operator", "viewer", "operator"))]
    for socket in sockets:
        await socket.connect(timeout=PATIENCE_S)
        await socket.send_json_to({"follow": "all", "of": "x", "paced": True})
    await until(lambda: len(here()) == 1 and here().followers() == len(sockets))
    source.held.set()
    assert [(await heard(socket))["data"]["read"] for socket in sockets] == [1, 1, 1]
    assert {access for access, _ in source.reads} == {Access("viewer")}


async def test_who_comes_later_has_the_last_snapshot_at_once(source: Source, enter: Enter) -> None:
    first, second = [await enter(await member(name, "viewer")) for name in ("a", "b")]
    await first.connect(timeout=PATIENCE_S)
    await first.send_json_to({"follow": "all"})
    await heard(first)
    source.held.clear()
    await until(lambda: len(source.reads) > 0)
    await second.connect(timeout=PATIENCE_S)
    await second.send_json_to({"follow": "all"})
    assert (await heard(second))["data"]["read"] >= 1
    source.held.set()


async def test_tenant_administrators_follow_what_is_theirs_and_share_no_snapshot(source: Source, enter: Enter) -> None:
    users = [await member(name, "tenant_administrator") for name in ("ann", "bob")]
    for user in users:
        socket = await enter(user)
        await socket.connect(timeout=PATIENCE_S)
        await socket.send_json_to({"follow": "staff"})
        assert "not yours to follow" in (await heard(socket))["error"]
        await socket.send_json_to({"follow": "all"})
        assert "data" in await heard(socket)
    tenants = {role.tenant_id async for role in StaffRole.objects.all()}
    assert {access.tenant_id for access, _ in source.reads} == tenants
    assert len(here()) == 2


async def test_a_slow_page_is_not_waited_for_and_sees_the_newest(source: Source, enter: Enter) -> None:
    slow, quick = [await enter(await member(name, "viewer")) for name in ("slow", "quick")]
    for socket in (slow, quick):
        await socket.connect(timeout=PATIENCE_S)
        await socket.send_json_to({"follow": "all", "paced": True})
    first = (await heard(slow))["data"]["read"]
    for _ in range(20):
        seen = (await heard(quick))["data"]["read"]
        await quick.send_json_to({"taken": "all"})
    assert await slow.receive_nothing(timeout=0.01)
    await slow.send_json_to({"taken": "all"})
    assert (await heard(slow))["data"]["read"] >= seen > first + 10


async def test_bad_messages_are_refused_in_words(source: Source, enter: Enter) -> None:
    socket = await enter(await member("v", "viewer"))
    await socket.connect(timeout=PATIENCE_S)
    await socket.send_to(bytes_data=b"\x00")
    assert await heard(socket) == {"error": BAD_MESSAGE}
    bad = [
        "{",
        "[]",
        '"follow"',
        "{}",
        '{"follow": 1}',
        '{"follow": "all", "of": []}',
        '{"follow": "all", "of": "\\u0000"}',
        "[" * 4000,
        "x" * 5000,
    ]
    bad.append('{"follow": "all", "of": "\\ud800"}')
    for text in bad:
        await socket.send_to(text_data=text)
        assert await heard(socket) == {"error": BAD_MESSAGE}, text
    await socket.send_json_to({"follow": "all"})
    assert "data" in await heard(socket)


async def test_unknown_topics_and_too_many_are_refused(source: Source, enter: Enter) -> None:
    socket = await enter(await member("v", "viewer"))
    await socket.connect(timeout=PATIENCE_S)
    await socket.send_json_to({"follow": "weather", "of": "x"})
    assert "no such topic" in (await heard(socket))["error"]
    for number in range(FOLLOWED_AT_MOST + 1):
        await socket.send_json_to({"follow": "all", "of": str(number), "paced": True})
    while "error" not in (message := await heard(socket)):
        pass
    assert (message["of"], message["error"][:22]) == (str(FOLLOWED_AT_MOST), "A page follows 16 topi")


async def test_an_object_that_there_is_not_ends_its_topic(source: Source, enter: Enter) -> None:
    source.failing = NotFound("There is no such pool.")
    socket = await enter(await member("v", "viewer"))
    await socket.connect(timeout=PATIENCE_S)
    await socket.send_json_to({"follow": "all", "of": "x"})
    assert await heard(socket) == {"topic": "all", "of": "x", "error": "There is no such pool."}
    assert len(here()) == 0
    source.failing = None
    await socket.send_json_to({"follow": "all", "of": "x"})
    assert "data" in await heard(socket)


@pytest.mark.parametrize("failure", [RuntimeError("a secret"), None])
async def test_what_cannot_be_read_is_said_without_its_reason_and_tried_again(
    source: Source, enter: Enter, failure: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None: a number that JSON has not."""
    source.failing = failure
    if failure is None:
        monkeypatch.setitem(TOPICS, "all", Topic(lambda access, of: {"at": float("nan")} | source.read(access, of)))
    socket = await enter(await member("v", "viewer"))
    await socket.connect(timeout=PATIENCE_S)
    await socket.send_json_to({"follow": "all"})
    assert await heard(socket) == {"topic": "all", "of": "", "error": UNREADABLE}
    await until(lambda: len(source.reads) > 1)
    if failure is not None:
        source.failing = None
        while "data" not in await heard(socket):
            pass


async def test_after_a_logout_the_socket_is_closed(source: Source, enter: Enter) -> None:
    client, user = Client(), await member("v", "viewer")
    socket = await enter(user, client=client)
    await socket.connect(timeout=PATIENCE_S)
    await socket.send_json_to({"follow": "all"})
    await heard(socket)
    await sync_to_async(client.logout)()
    assert await closed(socket) == NOT_ALLOWED
    await until(lambda: len(here()) == 0)


async def test_whose_access_changes_is_sent_away(source: Source, enter: Enter) -> None:
    sockets = {}
    for name in ("demoted", "dismissed", "inactive", "renewed"):
        sockets[name] = await enter(await member(name, "operator"))
        await sockets[name].connect(timeout=PATIENCE_S)
        await sockets[name].send_json_to({"follow": "all"})
        await heard(sockets[name])
    await StaffRole.objects.filter(user__username="demoted").aupdate(role="viewer")
    await StaffRole.objects.filter(user__username="dismissed").adelete()
    await User.objects.filter(username="inactive").aupdate(is_active=False)
    renewed = await User.objects.aget(username="renewed")
    renewed.set_password("another")
    await renewed.asave()
    for name, socket in sockets.items():
        assert await closed(socket) == NOT_ALLOWED, name


async def test_a_page_that_goes_is_followed_no_more(source: Source, enter: Enter) -> None:
    socket = await enter(await member("v", "viewer"))
    await socket.connect(timeout=PATIENCE_S)
    await socket.send_json_to({"follow": "all"})
    await heard(socket)
    await socket.disconnect()
    await until(lambda: len(here()) == 0)
