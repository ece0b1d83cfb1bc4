"""The page of 403: for whom it is, what role one has, the way back; and one line of the log, without a traceback."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.urls import reverse

from staff.models import StaffRole
from telemetry.logs import JsonFormatter
from tests.scene import Scene
from tests.staff.members import at_the_console

Role = StaffRole.Role
pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("role", "path", "said", "called"),
    [
        (Role.VIEWER, "tenants/ann/suspend/", "This is for operators.", "viewer"),
        (Role.VIEWER, "tenants/apikey/add/", "This is for operators, and for administrators of a tenant", "viewer"),
        (Role.TENANT_ADMINISTRATOR, "tenants/ann/suspend/", "This is for operators.", "tenant administrator"),
        (Role.TENANT_ADMINISTRATOR, "workers/{worker}/", "This is for operators and viewers.", "tenant administrator"),
        (Role.TENANT_ADMINISTRATOR, "orchestrator/worker/", "This is for operators.", "tenant administrator"),
        (Role.OPERATOR, "agents/task/add/", "Nobody may do this in the console.", "operator"),
    ],
)
def test_it_says_for_whom_it_is_and_leads_back(scene: Scene, role: str, path: str, said: str, called: str) -> None:
    client = at_the_console(role, scene.ann.tenant if role == Role.TENANT_ADMINISTRATOR else None)
    path = path.replace("ann", scene.ann.tenant.slug).replace("{worker}", "0198c0de-0000-7000-8000-000000000000")
    answer = client.get(f"/console/{path}")
    page = " ".join(answer.content.decode().split())
    assert answer.status_code == 403
    assert said in page
    assert f"your role is {called}" in page
    assert ("An operator can give you another one" in page) == (role != Role.OPERATOR)
    home = reverse("console:home")
    assert f'href="{home}"' in page
    assert client.get(home, follow=True).status_code == 200


def test_who_has_no_role_is_not_sent_in_circles(scene: Scene) -> None:
    answer = at_the_console(None).get("/console/")
    assert answer.status_code == 403
    assert "Your account has no role yet." in answer.content.decode()
    assert "first page" not in answer.content.decode()


def test_its_line_in_the_log_has_no_traceback_and_that_of_a_fault_has_one(
    scene: Scene, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = at_the_console(Role.VIEWER)
    viewer.raise_request_exception = False
    assert viewer.get(f"/console/tenants/{scene.ann.tenant.slug}/suspend/").status_code == 403

    def broken(*_: Any) -> None:
        raise KeyError("broken")

    monkeypatch.setattr("console.tenants.standing_views.tenant_to_operate", broken)
    assert viewer.get(f"/console/tenants/{scene.ann.tenant.slug}/suspend/").status_code == 500
    refused, failed = [record for record in caplog.records if record.name == "django.request"]
    assert (refused.levelno, failed.levelno) == (logging.WARNING, logging.ERROR)
    assert "exception" not in JsonFormatter("web").format(refused)
    assert "KeyError: 'broken'" in JsonFormatter("web").format(failed)
