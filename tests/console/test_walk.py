"""Everybody tries everything: what is not theirs is 403 or 404, shows nothing of another tenant, and changes nothing.

`table` says what is whose; its docstring says how a new page gets its line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from tests.conformance.belongings import Belongings
from tests.console import table
from tests.console.everything import Everything
from tests.console.table import LOOK, NO, POST, USE
from tests.console.walking import Way, actions, expected_actions, expected_names, names, ways
from tests.staff.members import member

pytestmark = pytest.mark.django_db
REFUSED = {403, 404}
LOGIN = "/console/login/"
SECRET = "a secret value"  # belongings.py stores it
UNWATCHED = {"django_session", "auth_user"}  # a login writes these


@pytest.fixture(scope="module")
def everything(django_db_setup: None, django_db_blocker: Any) -> Iterator[Everything]:
    """One scene for all walks: what they must not change they leave as it is."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield Everything.make()
        transaction.set_rollback(True)


def entered(user: User | None) -> Client:
    client = Client(raise_request_exception=True)
    if user is not None:
        client.force_login(user)
    return client


def administrator(own: Belongings) -> Client:
    return entered(trusted(member("tenant_administrator", own.party.tenant)))


def trusted(user: User) -> User:
    """With each of Django's own permissions, which must count for nothing."""
    user.user_permissions.set(Permission.objects.all())
    return user


def state() -> dict[str, str]:
    """A digest of each table."""
    watched = [name for name in connection.introspection.table_names() if name not in UNWATCHED]
    selects = [
        f"SELECT '{name}', md5(coalesce(string_agg(r::text, '|' ORDER BY r::text), '')) FROM \"{name}\" r"
        for name in watched
    ]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(selects))
        return dict(cursor.fetchall())


def answers(response: HttpResponse) -> bool:
    """A page, or the way to another one that is not the login page."""
    return response.status_code == 200 or (
        response.status_code == 302 and not response.headers["Location"].startswith(LOGIN)
    )


def fits(word: str, way: Way, client: Client, *, unseen: set[str]) -> list[str]:
    """What is wrong with how this client is answered there, by the word of the table and by what it must not see."""
    got = client.get(way.url)
    said = "" if got.streaming else got.content.decode()
    wrong = [f"{way.url} shows {mark}" for mark in unseen if mark in said]
    only_posts = way.operator == POST
    as_told = {NO: got.status_code in (REFUSED | {405} if only_posts else REFUSED), POST: got.status_code == 405}
    if not as_told.get(word, answers(got)):
        wrong.append(f"GET {way.url} ({way.name}) is {word} to them, and answered {got.status_code}")
    if word not in (USE, POST):
        allowed = REFUSED if word == NO and (only_posts or way.operator == USE) else REFUSED | {405}
        if word == LOOK and way.name.endswith(table.READ_ONLY):
            allowed = allowed | {200, 302}
        post = client.post(way.url, {"post": "yes", "_form_submitted": "True", "shares": "1: 100", "name": "forged"})
        if post.status_code not in allowed:
            wrong.append(f"POST {way.url} ({way.name}) is {word} to them, and answered {post.status_code}")
    return wrong


def test_the_table_has_a_line_for_each_page_and_action(everything: Everything) -> None:
    assert names() - expected_names() == set(), "new URLs: add them to tests/console/table.py"
    assert expected_names() - names() == set(), "URLs that are gone: take them out of tests/console/table.py"
    assert actions() == expected_actions(), "say in ACTIONS of tests/console/table.py who may start these"


def test_who_is_not_logged_in_is_sent_to_the_login_page(everything: Everything) -> None:
    client, before = entered(None), state()
    for way in ways(everything, everything.ann):
        for response in (client.get(way.url), client.post(way.url, {"post": "yes"})):
            assert response.status_code == 302, way
            assert response.headers["Location"].startswith(LOGIN), way
    assert state() == before


def test_who_has_no_role_gets_no_further(everything: Everything) -> None:
    client, before = entered(trusted(member(None))), None
    before = state()
    for way in ways(everything, everything.ann):
        for response in (client.get(way.url), client.post(way.url, {"post": "yes"})):
            assert response.status_code == 403, way
    assert "An operator can give it one" in client.get("/console/").content.decode()
    assert state() == before


def test_an_operator_reaches_all_of_it(everything: Everything) -> None:
    """So that what others meet is a refusal, and not an address that is wrong."""
    client = entered(member("operator"))
    for way in ways(everything, everything.ann):
        got = client.get(way.url)
        wanted = {NO: got.status_code == 403, POST: got.status_code == 405}
        assert wanted.get(way.operator, answers(got)), (way, got.status_code)
        assert got.streaming or SECRET not in got.content.decode(), way


def test_a_viewer_sees_and_changes_nothing(everything: Everything) -> None:
    client, wrong = entered(trusted(member("viewer"))), []
    before = state()
    for way in ways(everything, everything.ann):
        wrong += fits(way.viewer, way, client, unseen={SECRET})
    assert not wrong, "\n".join(wrong)
    assert state() == before


def test_a_tenant_administrator_has_what_is_the_own_tenants(everything: Everything) -> None:
    client, wrong = administrator(everything.ann), []
    before, others = state(), everything.marks(everything.bob)
    for way in ways(everything, everything.ann):
        wrong += fits(way.tenant, way, client, unseen=others)
    assert not wrong, "\n".join(wrong)
    assert state() == before


def test_a_tenant_administrator_has_nothing_of_another_tenant(everything: Everything) -> None:
    client, wrong = administrator(everything.bob), []
    before, others = state(), everything.marks(everything.ann)
    for way in ways(everything, everything.ann):
        wrong += fits(NO if way.of else way.tenant, way, client, unseen=others)
    assert not wrong, "\n".join(wrong)
    assert state() == before


def press(client: Client, label: str, action: str, pk: object) -> HttpResponse:
    address = reverse(f"admin:{label.replace('.', '_')}_changelist")
    form = {"action": action, "_selected_action": [str(pk)], "index": "0", "post": "yes"}
    return client.post(address, form)  # type: ignore[return-value]


def test_actions_are_refused_to_who_may_not_start_them(everything: Everything) -> None:
    walkers = {
        "viewer": entered(member("viewer")),
        "own": administrator(everything.ann),
        "another": administrator(everything.bob),
    }
    before = state()
    for label, (tenants, operators) in table.ACTIONS.items():
        pk = everything.row(label, everything.ann).pk
        for action in (*tenants.split(), *operators.split()):
            who = ["viewer", "another"] if action in tenants.split() else ["viewer", "another", "own"]
            for name in who:
                answer = press(walkers[name], label, action, pk)
                assert answer.status_code in REFUSED, (label, action, name, answer.status_code)
    assert state() == before


@pytest.mark.parametrize("label", [label for label, (tenants, _) in table.ACTIONS.items() if tenants])
def test_own_actions_are_offered_and_act(everything: Everything, label: str, redis_url: str) -> None:
    client = administrator(everything.ann)
    row = everything.row(label, everything.ann)
    page = client.get(reverse(f"admin:{label.replace('.', '_')}_changelist")).content.decode()
    for action in table.ACTIONS[label][0].split():
        assert f'value="{action}"' in page
    with transaction.atomic():  # whatever they do is undone
        answer = press(client, label, table.ACTIONS[label][0].split()[0], row.pk)
        assert answer.status_code in (200, 302), answer.status_code
        transaction.set_rollback(True)


def test_choices_are_the_own_tenants(everything: Everything) -> None:
    """What forms, filters and look-ups offer: nothing of another tenant, and pools that are shared or the tenant's own."""
    client, others = administrator(everything.bob), everything.marks(everything.ann)
    for model, one in admin.site._registry.items():
        for field in one.autocomplete_fields:
            query = {"app_label": model._meta.app_label, "model_name": model._meta.model_name, "field_name": field}
            answer = client.get(reverse("admin:autocomplete"), {**query, "term": ""})
            assert answer.status_code in {200, *REFUSED}
            assert not any(mark in answer.content.decode() for mark in others), (model, field)
    form = client.get(reverse("admin:agents_agent_add"))
    pools = form.context["adminform"].form.fields["pool"].queryset
    own = everything.bob.party.tenant
    assert {pool.slug for pool in pools} == {"shared", f"of-{own.slug}"}


FORGED = {
    "agents.agent": {"slug": "forged", "name": "F", "system_prompt": "", "params": "{}", "revisions-TOTAL_FORMS": "0",
                     "revisions-INITIAL_FORMS": "0"},
    "tenants.apikey": {"name": "forged", "scopes": "", "max_waiting": "0", "max_running": "0", "requests_per_minute": "0",
                       "tokens_per_minute": "0", "tokens_per_month": "0"},
    "tenants.secret": {"name": "forged", "value": "a value"},
    "agents.mcpserver": {"name": "forged", "url": "https://mcp.example/", "headers": "{}"},
    "agents.tool": {"name": "forged", "description": "", "parameters": '{"type": "object", "properties": {}}',
                    "request": '{"method": "GET", "url": "https://a.example/"}', "timeout_s": "5"},
    "webhooks.endpoint": {"url": "https://hooks.example/", "event_types": "", "enabled": "on"},
    "knowledge.document": {"title": "forged", "format": "text", "text": "x"},
}  # fmt: skip
"""What an add form is sent, all of it right but for whose it is to be."""


@pytest.mark.parametrize("label", [label for label, model in table.MODELS.items() if "add" in model.tenant.split()])
def test_nothing_is_made_in_another_tenants_name(everything: Everything, label: str) -> None:
    client, address = administrator(everything.bob), reverse(f"admin:{label.replace('.', '_')}_add")
    bob, ann = everything.bob, everything.ann

    def form(owner: Belongings) -> dict[str, object]:
        said = {**FORGED[label], "tenant": str(owner.party.tenant.pk), "pool": str(everything.pool.pk)}
        document = everything.row("knowledge.document", owner)
        return {**said, "collection": str(document.collection_id), "api_key": str(owner.key.pk)}

    before = state()
    refused = client.post(address, form(ann))
    assert refused.status_code == 200  # the form again, with what is wrong
    assert "Select a valid choice" in refused.content.decode()
    assert state() == before
    with transaction.atomic():
        made = client.post(address, form(bob))
        assert made.status_code == 302 or "This is the only time" in made.content.decode()  # that it is shown
        assert state() != before
        transaction.set_rollback(True)


def test_an_agent_cannot_be_put_on_another_tenants_pool(everything: Everything) -> None:
    from orchestrator.models import Pool

    client, tenant = administrator(everything.bob), everything.bob.party.tenant
    foreign = Pool.objects.get(tenant=everything.ann.party.tenant)
    before = state()
    said = {**FORGED["agents.agent"], "tenant": str(tenant.pk), "pool": str(foreign.pk)}
    assert client.post(reverse("admin:agents_agent_add"), said).status_code == 200
    agent = everything.bob.party.agent.pk
    assert client.post(reverse("admin:agents_agent_change", args=[agent]), said).status_code == 200
    assert state() == before
