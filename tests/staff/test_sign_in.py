"""Passwords, throttling, second factor: as a browser's requests meet them."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, generate_totp_secret, hotp_value
from django.contrib.auth.models import User
from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from audit.models import Entry
from staff.second_factor import SecondFactorAdapter
from tests.staff.members import member

PASSWORD = "correct horse battery"
STEP_S = 30


@pytest.fixture
def client() -> Client:
    """From an address of its own: failures of other tests are not held against it."""
    number = uuid.uuid4().int
    return Client(REMOTE_ADDR=f"10.{number % 256}.{number // 256 % 256}.{number // 65536 % 256}")


@pytest.fixture
def viewer(db: None) -> User:
    return member("viewer", password=PASSWORD)


def log_in(client: Client, name: str, password: str) -> HttpResponse:
    return client.post(reverse("account_login"), {"login": name, "password": password, "next": "/console/"})  # type: ignore[return-value]


def code(secret: str, *, steps: int = 0) -> str:
    """What an authenticator app shows now (or some steps of 30 s from now)."""
    return format_hotp_value(hotp_value(secret, int(time.time()) // STEP_S + steps))


def with_second_factor(user: User) -> str:
    secret = generate_totp_secret()
    sealed = SecondFactorAdapter().encrypt(secret)
    Authenticator.objects.create(user=user, type=Authenticator.Type.TOTP, data={"secret": sealed})
    return secret


def test_a_password_lets_in_and_logging_out_ends_it(client: Client, viewer: User) -> None:
    assert client.get("/console/").headers["Location"] == "/console/login/?next=/console/"
    assert log_in(client, viewer.username, PASSWORD).headers["Location"] == "/console/"
    assert client.get("/console/").status_code == 200
    assert client.cookies["sessionid"]["max-age"] == 12 * 3600
    assert client.cookies["sessionid"]["httponly"]
    assert client.post(reverse("admin:logout")).status_code == 302
    assert client.get("/console/").status_code == 302


def test_a_wrong_password_is_refused_and_stands_in_no_log(
    client: Client, viewer: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    answer = log_in(client, viewer.username, "wr0ng-one")
    assert "not correct" in answer.content.decode()
    assert "wr0ng-one" not in caplog.text + answer.content.decode()
    assert client.get("/console/").status_code == 302


def test_too_many_failures_are_429_for_the_account_until_a_stated_time(client: Client, viewer: User) -> None:
    for _ in range(5):
        assert log_in(client, viewer.username, "wrong").status_code == 200
    refused = log_in(client, viewer.username, PASSWORD)  # the right one as well: who guesses must not learn that it is
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 300
    assert "Come back in 5 minutes" in refused.content.decode()
    elsewhere = Client(REMOTE_ADDR="10.250.250.250")
    assert log_in(elsewhere, viewer.username, PASSWORD).status_code == 429  # it is the account's, wherever one sits
    other = member("viewer", password=PASSWORD)
    assert log_in(client, other.username, PASSWORD).status_code == 302


def test_too_many_failures_are_429_for_the_address(client: Client, viewer: User, settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = {**settings.ACCOUNT_RATE_LIMITS, "login_failed": "3/5m/ip,5/5m/key"}
    for number in range(3):
        assert log_in(client, f"nobody-{number}", "wrong").status_code == 200
    assert log_in(client, viewer.username, PASSWORD).status_code == 429
    elsewhere = Client(REMOTE_ADDR=f"10.251.{uuid.uuid4().int % 256}.1")
    assert log_in(elsewhere, viewer.username, PASSWORD).status_code == 302


def test_who_does_not_work_here_any_more_does_not_get_in(client: Client, viewer: User) -> None:
    viewer.is_active = False
    viewer.save()
    assert "not correct" in log_in(client, viewer.username, PASSWORD).content.decode()
    assert client.get("/console/").status_code == 302


def test_a_second_factor_is_set_up_and_asked_for(client: Client, viewer: User) -> None:
    log_in(client, viewer.username, PASSWORD)
    shown = client.get(reverse("mfa_activate_totp"))
    secret = shown.context["form"].secret
    assert "data:image/svg+xml" in shown.content.decode()
    assert "Incorrect code" in client.post(reverse("mfa_activate_totp"), {"code": "000000"}).content.decode()
    done = client.post(reverse("mfa_activate_totp"), {"code": code(secret)})
    assert done.headers["Location"] == reverse("mfa_view_recovery_codes")
    stored = Authenticator.objects.get(user=viewer, type=Authenticator.Type.TOTP).data["secret"]
    assert secret not in stored  # it is sealed
    recovery = client.get(reverse("mfa_view_recovery_codes")).context["unused_codes"]
    assert len(recovery) == 10
    client.post(reverse("account_logout"))

    assert log_in(client, viewer.username, PASSWORD).headers["Location"] == reverse("mfa_authenticate")
    assert client.get("/console/").status_code == 302  # half of it lets nobody in
    assert client.post(reverse("mfa_authenticate"), {"code": "000000"}).status_code == 200
    assert client.post(reverse("mfa_authenticate"), {"code": code(secret)}).headers["Location"] == "/console/"
    assert client.get("/console/").status_code == 200

    for expected in (302, 200):  # a recovery code lets in once
        client.post(reverse("account_logout"))
        log_in(client, viewer.username, PASSWORD)
        assert client.post(reverse("mfa_authenticate"), {"code": recovery[0]}).status_code == expected


def test_a_code_lets_in_once_for_as_long_as_it_is_valid(client: Client, viewer: User) -> None:
    now = code(with_second_factor(viewer))
    for expected in (302, 200):
        log_in(client, viewer.username, PASSWORD)
        assert client.post(reverse("mfa_authenticate"), {"code": now}).status_code == expected
        client.post(reverse("account_logout"))
        cache.delete(f"allauth.mfa.totp.used?user={viewer.pk}&code={now}")  # as if a step of its time had passed


def test_wrong_codes_are_in_the_audit_log(client: Client, viewer: User) -> None:
    now = code(with_second_factor(viewer))
    for _ in range(2):
        log_in(client, viewer.username, PASSWORD)
        client.post(reverse("mfa_authenticate"), {"code": "000000"})
        client.post(reverse("mfa_authenticate"), {"code": now})  # the second time it is used up
        client.post(reverse("mfa_reauthenticate"), {"code": "000000"})
        client.post(reverse("account_logout"))
        cache.delete(f"allauth.mfa.totp.used?user={viewer.pk}&code={now}")
    told = list(
        Entry.objects.filter(action="staff.code_failed").order_by("id").values_list("actor", "actor_kind", "address")
    )
    nobody, staff = ((viewer.username, kind, client.defaults["REMOTE_ADDR"]) for kind in ("nobody", "staff"))
    assert told == [nobody, staff, nobody, nobody]
    assert "000000" not in json.dumps(list(Entry.objects.values()), default=str)


def test_codes_are_throttled_as_passwords_are(client: Client, viewer: User) -> None:
    secret = with_second_factor(viewer)
    log_in(client, viewer.username, PASSWORD)
    for _ in range(5):
        assert client.post(reverse("mfa_authenticate"), {"code": "000000"}).status_code == 200
    refused = client.post(reverse("mfa_authenticate"), {"code": code(secret)})
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "300")


def test_a_second_factor_can_be_demanded_of_all(client: Client, viewer: User, settings: Any) -> None:
    settings.OPSITE_REQUIRE_TOTP = True
    log_in(client, viewer.username, PASSWORD)
    assert client.get("/console/").headers["Location"] == reverse("mfa_activate_totp")
    assert client.post(reverse("admin:agents_task_changelist")).status_code == 403
    assert client.get(reverse("mfa_activate_totp")).status_code == 200
    with_second_factor(viewer)
    assert client.get("/console/").status_code == 200
    root = Client()
    root.force_login(User.objects.create_superuser("root"))
    assert root.get("/console/").headers["Location"] == reverse("mfa_activate_totp")


def test_nothing_else_of_allauth_is_served(client: Client, db: None) -> None:
    for path in ("signup/", "password/reset/", "email/", "3rdparty/", "login/code/confirm/", "login/signup/"):
        for prefix in ("/console/", "/accounts/", "/"):
            assert client.get(prefix + path).status_code in (404, 302), prefix + path
            assert "sign up" not in client.get(prefix + path, follow=True).content.decode().lower()
    assert client.post("/console/sso/login/").status_code == 404  # no provider is configured
    assert client.get("/console/sso/login/callback/").status_code == 404
