"""Single sign-on against a provider: who has a mapped group gets in, with that role; nobody else does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from audit.models import Entry
from staff.models import StaffRole
from staff.role_map import RoleMap
from tests.scene import Scene
from tests.staff.members import member
from tests.staff.openid_provider import CLIENT_ID, CLIENT_SECRET, Provider

LOGIN = "/console/sso/login/"


@pytest.fixture
def provider(settings: Any, scene: Scene) -> Iterator[Provider]:
    provider = Provider()
    app = {
        "provider_id": "sso", "name": "Example ID", "client_id": CLIENT_ID, "secret": CLIENT_SECRET,
        "settings": {"server_url": provider.url, "oauth_pkce_enabled": True},
    }  # fmt: skip
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": [app]}}
    settings.OPSITE_OIDC_ROLES = RoleMap.parse(
        f"ops=operator, watch=viewer, ann-it=tenant_administrator:{scene.ann.tenant.slug}, lost=tenant_administrator:gone"
    )
    yield provider
    provider.close()


def amy(*groups: str, **more: Any) -> dict[str, Any]:
    return {"sub": "amy-1", "preferred_username": "amy", "name": "Amy Ops", "groups": list(groups), **more}


def sign_on(provider: Provider, person: dict[str, Any], client: Client, *, start: str = LOGIN) -> HttpResponse:
    """The whole way: to the provider, her consent, and back."""
    provider.person = person
    there = client.post(start).headers["Location"]
    assert there.startswith(f"{provider.url}/authorize")
    page = httpx.get(there).text
    back = httpx.get(f"{provider.url}{page.split(chr(39))[1]}").headers["location"]
    assert back.startswith("http://testserver/console/sso/login/callback/?")
    return client.get(back.removeprefix("http://testserver"))  # type: ignore[return-value]


def test_who_has_a_group_gets_its_role_and_keeps_the_account(provider: Provider, scene: Scene) -> None:
    client = Client()
    assert "Log in with Example ID" in client.get("/console/login/").content.decode()
    assert sign_on(provider, amy("staff", "watch"), client).headers["Location"] == "/console/"
    assert client.get("/console/").status_code == 200
    given = StaffRole.objects.get()
    assert (given.role, given.user.username, given.user.get_full_name()) == ("viewer", "amy", "Amy Ops")
    assert not given.user.has_usable_password()

    sign_on(provider, amy("ann-it"), Client())  # her groups have changed: so has her role
    given.refresh_from_db()
    assert (given.role, given.tenant) == ("tenant_administrator", scene.ann.tenant)
    assert User.objects.count() == 1


@pytest.mark.parametrize(
    ("groups", "why"),
    [((), "None of your groups"), (("guests",), "None of your groups"), (("lost",), "does not exist")],
)
def test_who_has_no_mapped_group_gets_neither_access_nor_an_account(
    provider: Provider, groups: tuple[str, ...], why: str
) -> None:
    client = Client()
    refused = sign_on(provider, amy(*groups), client)
    assert (refused.status_code, why in refused.content.decode()) == (403, True)
    assert client.get("/console/").status_code == 302
    assert not User.objects.exists()
    assert not SocialAccount.objects.exists()


def test_what_the_provider_s_word_changes_is_in_the_audit_log(provider: Provider, scene: Scene) -> None:
    for groups in (("watch",), ("watch",), ("ops",)):
        sign_on(provider, amy(*groups), Client())
    by_provider = Entry.objects.filter(actor="single sign-on").order_by("id")
    assert [entry.action for entry in by_provider] == ["user.add", "staffrole.add", "staffrole.change"]
    assert (by_provider[2].before, by_provider[2].after) == ({"role": "viewer"}, {"role": "operator"})
    assert by_provider[2].address == "127.0.0.1"
    assert not Entry.objects.exclude(actor__in=["single sign-on", "amy"]).exists()


def test_an_account_is_not_taken_over_by_its_name(provider: Provider) -> None:
    there = User.objects.create_user("amy", "amy@example.com", "x", is_staff=True)
    sign_on(provider, amy("watch", email="amy@example.com", email_verified=True), Client())
    assert not StaffRole.objects.filter(user=there).exists()
    assert StaffRole.objects.get().user.username.startswith("amy")
    assert User.objects.count() == 2


def test_an_account_that_was_shut_stays_shut(provider: Provider) -> None:
    sign_on(provider, amy("ops"), Client())
    User.objects.update(is_active=False)
    client = Client()
    refused = sign_on(provider, amy("ops"), client)
    assert (refused.status_code, "was shut" in refused.content.decode()) == (403, True)
    assert client.get("/console/").status_code == 302


def test_the_last_operator_is_not_taken_away_by_the_provider_s_word(provider: Provider) -> None:
    sign_on(provider, amy("ops"), Client())
    refused = sign_on(provider, amy("watch"), Client())
    assert (refused.status_code, "last operator" in refused.content.decode()) == (403, True)
    assert StaffRole.objects.get().role == "operator"


def test_an_account_is_not_connected_to_another(provider: Provider) -> None:
    client, viewer = Client(), member("viewer")
    client.force_login(viewer)
    refused = sign_on(provider, amy("ops"), client, start=f"{LOGIN}?process=connect")
    assert refused.status_code == 403
    assert not SocialAccount.objects.exists()
    assert StaffRole.objects.get().role == "viewer"


def test_an_answer_that_nobody_asked_for_lets_nobody_in(provider: Provider) -> None:
    client = Client()
    for query in ({}, {"error": "access_denied"}, {"code": "x", "state": "y"}):
        assert client.get(f"{LOGIN}callback/", query).status_code == 403
    assert client.get(LOGIN).status_code == 405
    assert client.get("/console/").status_code == 302


def test_a_session_of_it_ends_soon_at_a_moment_whatever_is_done_in_it(provider: Provider, settings: Any) -> None:
    settings.OPSITE_OIDC_SESSION_MINUTES = 5
    client, begun = Client(), timezone.now()
    sign_on(provider, amy("watch"), client)
    ends = Session.objects.get(pk=client.cookies["sessionid"].value).expire_date
    assert timedelta(minutes=5) <= ends - begun <= timedelta(minutes=6)
    assert client.get("/console/").status_code == 200
    session = client.session
    session["touched"] = True
    session.save()
    assert Session.objects.get(pk=session.session_key).expire_date == ends
    Session.objects.update(expire_date=timezone.now())
    assert client.get("/console/").headers["Location"].startswith("/console/login/")


def test_who_logs_in_by_password_stays_as_long_as_ever(provider: Provider, settings: Any) -> None:
    viewer = member("viewer", password="correct-horse-1")
    client, begun = Client(), timezone.now()
    assert client.post("/console/login/", {"login": viewer.username, "password": "correct-horse-1"}).status_code == 302
    ends = Session.objects.get(pk=client.cookies["sessionid"].value).expire_date
    assert ends - begun >= timedelta(hours=settings.OPSITE_SESSION_HOURS)


def test_who_has_lost_the_groups_loses_the_role_and_all_sessions(provider: Provider) -> None:
    keeper, there = member("operator"), Client()
    sign_on(provider, amy("ops"), there)
    assert there.get("/console/").status_code == 200
    assert sign_on(provider, amy(), Client()).status_code == 403
    assert there.get("/console/").status_code == 403
    assert list(StaffRole.objects.values_list("user", flat=True)) == [keeper.pk]
    assert Entry.objects.get(action="staffrole.delete").actor == "single sign-on"


def test_the_last_operator_keeps_the_role_when_the_groups_are_gone(provider: Provider) -> None:
    sign_on(provider, amy("ops"), Client())
    assert sign_on(provider, amy(), Client()).status_code == 403
    assert StaffRole.objects.get().role == "operator"
