"""Signing in: by password, with a second factor, by single sign-on; and what it looks like when it fails too often."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, expect

from staff.models import StaffRole
from tests.browser.room import Room
from tests.faces.conftest import Web
from tests.staff.members import member
from tests.staff.openid_provider import Provider
from tests.staff.test_sign_in import code

PASSWORD = "correct horse battery"


@pytest.fixture
def door(web: Web, browser: Browser) -> Iterator[Room]:
    """The console with nobody logged in."""
    room = Room.enter(browser, web.url)
    room.open("")
    yield room
    room.leave()


def log_in(room: Room, user: User, password: str = PASSWORD) -> None:
    room.page.get_by_label("Username").fill(user.username)
    room.page.get_by_label("Password").fill(password)
    room.page.get_by_role("button", name="Log in", exact=True).click()


def log_out(room: Room) -> None:
    room.open("logout/")
    room.page.get_by_role("button", name="Log out").click()
    expect(room.page.get_by_label("Username")).to_be_visible()


def test_by_password_and_with_a_second_factor(door: Room) -> None:
    user, page = member("viewer", password=PASSWORD), door.page
    door.look("login")
    log_in(door, user, "wrong")
    expect(page.get_by_role("alert")).to_contain_text("not correct")
    log_in(door, user)
    page.wait_for_url(f"{door.url}/console/")

    page.locator("a", has_text="Second factor").evaluate("link => link.click()")  # it is in the menu under one's name
    page.get_by_role("link", name="Set up a second factor").click()
    secret = page.get_by_label("Secret").input_value()
    door.look("second-factor-set-up")
    page.get_by_label("Authenticator code").fill(code(secret))
    page.get_by_role("button", name="Set up").click()
    codes = page.get_by_role("list", name="Recovery codes").get_by_role("listitem")
    expect(codes).to_have_count(10)
    spare = codes.first.inner_text()
    door.look("recovery-codes")
    page.get_by_role("link", name="Back").click()
    expect(page.get_by_text("10 of your 10 recovery codes are left")).to_be_visible()
    door.look("second-factor")
    log_out(door)

    for answer in (code(secret), spare):
        log_in(door, user)
        expect(page.get_by_role("heading", name="Second factor")).to_be_visible()
        if answer == spare:
            door.look("login-code")
        page.get_by_label("Code").fill(answer)
        page.get_by_role("button", name="Log in", exact=True).click()
        page.wait_for_url(f"{door.url}/console/")
        log_out(door)


def test_who_fails_too_often_waits(door: Room) -> None:
    user, page = member("viewer", password=PASSWORD), door.page
    for _ in range(6):
        log_in(door, user, "wrong")
        expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("Come back in 5 minutes")
    door.look("login-throttled")
    assert all("429" in fault for fault in door.faults), door.faults
    door.faults.clear()


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """An OpenID provider, which web processes that are started after it know."""
    provider = Provider()
    for name, value in provider.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OPSITE_OIDC_ROLES", "watchers=viewer")
    yield provider
    provider.close()


def test_an_operator_makes_an_account(room: Room, web: Web) -> None:
    page = room.page
    member("viewer", name="night.shift", first_name="Night", last_name="Shift")
    member("tenant_administrator", web.scene.ann.tenant, name="ann.admin", first_name="Ann", last_name="Admin")
    member(None, name="new.here", first_name="New", last_name="Here")
    room.open("auth/user/add/")
    page.get_by_label("Username").fill("amy")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password confirmation").fill(PASSWORD)
    page.get_by_label("Role").select_option("viewer")
    room.look("staff-account")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was added successfully")).to_be_visible()
    room.open("auth/user/")
    expect(page.get_by_role("link", name="amy")).to_be_visible()
    room.look("staff")
    assert StaffRole.objects.get(user__username="amy").role == "viewer"


def test_by_single_sign_on(provider: Provider, door: Room) -> None:
    door.known.add(urlsplit(provider.url).netloc)
    provider.person = {"sub": "1", "preferred_username": "amy", "name": "Amy Ops", "groups": ["watchers"]}
    expect(door.page.get_by_label("Username")).to_be_visible()  # the normal way stays
    door.look("login-single-sign-on")
    door.page.get_by_role("button", name="Log in with Example ID").click()
    door.page.get_by_role("link", name="Continue").click()
    door.page.wait_for_url(f"{door.url}/console/")
    expect(door.page.get_by_role("table", name="Pools")).to_be_visible()  # over the websocket, by the same session
    expect(door.page.get_by_role("status")).to_have_text("live")
    assert StaffRole.objects.get().user.username == "amy"
