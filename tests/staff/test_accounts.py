"""Accounts of staff: made with a role, changed, shut; the last operator stays."""

from __future__ import annotations

import threading

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse

from audit.models import Entry
from staff.accounts import LastOperator, an_operator_stays, give_role
from staff.models import StaffRole
from tests.scene import Scene
from tests.staff.members import member
from tests.staff.test_sign_in import with_second_factor

Role = StaffRole.Role
PASSWORD = "correct horse battery"


@pytest.fixture
def operator(db: None) -> User:
    return member("operator")


@pytest.fixture
def at_work(client: Client, operator: User) -> Client:
    client.force_login(operator)
    return client


def form_of(user: User, **said: object) -> dict[str, object]:
    return {"username": user.username, "role": "operator", "tenant": "", "is_active": "on", **said}


def change(client: Client, user: User, **said: object) -> str:
    address = reverse("admin:auth_user_change", args=[user.pk])
    return client.post(address, form_of(user, **said), follow=True).content.decode()


def test_an_account_is_made_with_a_role(at_work: Client, scene: Scene) -> None:
    said = {
        "username": "amy", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD,
        "role": "tenant_administrator", "tenant": str(scene.ann.tenant.pk),
    }  # fmt: skip
    address = reverse("admin:auth_user_add")
    without = at_work.post(address, {**said, "tenant": ""})
    assert "Say which tenant" in without.content.decode()
    assert at_work.post(address, said).status_code == 302
    given = StaffRole.objects.get(user__username="amy")
    assert (given.role, given.tenant, given.user.is_staff, given.user.is_superuser) == (
        "tenant_administrator", scene.ann.tenant, True, False,
    )  # fmt: skip
    assert Client().login(username="amy", password=PASSWORD)


def test_a_role_is_changed_and_an_account_shut(at_work: Client, client: Client, scene: Scene) -> None:
    amy = member("viewer")
    assert 'value="viewer" selected' in at_work.get(reverse("admin:auth_user_change", args=[amy.pk])).content.decode()
    assert "have no tenant" in change(at_work, amy, role="viewer", tenant=str(scene.ann.tenant.pk))
    change(at_work, amy, role="tenant_administrator", tenant=str(scene.ann.tenant.pk))
    given = StaffRole.objects.get(user=amy)
    assert (given.role, given.tenant) == ("tenant_administrator", scene.ann.tenant)
    hers = Client()
    hers.force_login(amy)
    assert hers.get(reverse("admin:agents_task_changelist")).status_code == 200
    change(at_work, amy, role="viewer", is_active="")
    assert hers.get(reverse("admin:agents_task_changelist")).status_code == 302  # logged out at once


def test_the_last_operator_stays(at_work: Client, operator: User) -> None:
    for said in ({"role": "viewer"}, {"is_active": ""}):
        assert "This is the last operator" in change(at_work, operator, **said)
        operator.refresh_from_db()
        assert operator.is_active
        assert StaffRole.objects.get(user=operator).role == "operator"
    root = User.objects.create_superuser("root")
    assert "This is the last operator" not in change(at_work, operator, role="viewer")
    assert StaffRole.objects.get(user=operator).role == "viewer"
    with pytest.raises(LastOperator):
        give_role(user=root, role=Role.VIEWER)
    root.refresh_from_db()
    assert root.is_superuser


@pytest.mark.django_db(transaction=True)
def test_two_operators_cannot_take_each_other_away() -> None:
    both = [member("operator"), member("operator")]
    inside, refused = threading.Event(), []

    def second() -> None:
        try:
            inside.wait(30)
            give_role(user=both[1], role=Role.VIEWER)
        except LastOperator as refusal:
            refused.append(refusal)
        finally:
            connection.close()

    other = threading.Thread(target=second)
    other.start()
    with an_operator_stays():
        StaffRole.objects.filter(user=both[0]).update(role=Role.VIEWER)
        inside.set()
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        with connection.cursor() as cursor:
            for _ in range(3000):
                cursor.execute(waiting)
                if cursor.fetchone()[0]:
                    break
                inside.wait(0.01)
                other.join(0.01)
            else:
                raise AssertionError("the second change did not wait for the first")
    other.join(30)
    assert len(refused) == 1
    assert [StaffRole.objects.get(user=user).role for user in both] == ["viewer", "operator"]


def test_a_second_factor_is_reset_and_the_log_says_so(at_work: Client, operator: User) -> None:
    amy = member("viewer")
    with_second_factor(amy)
    address = reverse("admin:auth_user_reset_second_factor", args=[amy.pk])
    assert "Reset the second factor" in at_work.get(address).content.decode()
    assert Authenticator.objects.filter(user=amy).exists()
    assert at_work.post(address, {"_form_submitted": "True"}).status_code == 200
    assert not Authenticator.objects.filter(user=amy).exists()
    entry = Entry.objects.get(action="staff.reset_second_factor")
    assert (entry.actor, entry.object_id) == (operator.username, str(amy.pk))


def test_nobody_is_deleted(at_work: Client) -> None:
    assert at_work.post(reverse("admin:auth_user_delete", args=[member("viewer").pk])).status_code == 403
