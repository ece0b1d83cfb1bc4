"""Schedules by REST, and in the console."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from opsite.jobs import retention
from schedules.models import Firing, Schedule
from tenants.services import issue_key
from tests.api.conftest import Application, ann, bob, refused
from tests.scene import Party, Scene

__all__ = ["ann", "bob"]  # fixtures
SCHEDULES = "/api/v1/schedules"
TASK = {"agent": "poet", "input": "Sum up the day."}


def body(**more: Any) -> dict[str, Any]:
    return {"name": "daily", "task": TASK, "cron": "0 18 * * 1-5", "time_zone": "Europe/Oslo", **more}


def test_the_life_of_a_schedule(ann: Application, scene: Scene) -> None:
    made = ann.post(SCHEDULES, body())
    assert made.status_code == 201, made.content
    schedule = made.json()
    assert (schedule["agent"], schedule["task"], schedule["catch_up"], schedule["overlap"]) == (
        "poet",
        TASK,
        "skip",
        "allow",
    )
    assert (schedule["is_enabled"], schedule["failures"], schedule["last_error"]) == (True, 0, None)
    path = f"{SCHEDULES}/{schedule['id']}"
    assert ann.get(path).json() == schedule
    foretold = ann.get(f"{path}/next", count=8).json()["next"]
    assert len(foretold) == 8
    assert all(moment[11:16] == "18:00" for moment in foretold)
    assert datetime.fromisoformat(foretold[0]) == datetime.fromisoformat(schedule["next_at"])
    assert len(ann.get(f"{path}/next").json()["next"]) == 5

    changed = ann.patch(path, {"cron": "0 6 * * *", "catch_up": "last", "overlap": "skip"}).json()
    assert (changed["cron"], changed["catch_up"], changed["overlap"], changed["task"]) == (
        "0 6 * * *",
        "last",
        "skip",
        TASK,
    )
    assert changed["next_at"] != schedule["next_at"]
    renamed = ann.patch(path, {"name": "mornings"}).json()
    assert (renamed["name"], renamed["next_at"]) == ("mornings", changed["next_at"])
    off = ann.patch(path, {"is_enabled": False}).json()
    assert (off["is_enabled"], off["next_at"]) == (False, None)
    assert ann.get(f"{path}/next").json() == {"next": []}
    assert ann.patch(path, {"is_enabled": True}).json()["next_at"] == changed["next_at"]
    assert ann.names(SCHEDULES, "name", agent="poet") == ["mornings"]
    assert ann.names(SCHEDULES, "name", agent="bard") == []

    assert ann.get(f"{path}/firings").json()["results"] == []
    assert ann.delete(path).status_code == 204
    refused(ann.get(path), 404)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"cron": "61 * * * *"}, "cron"), ({"cron": "* * * * * *"}, "cron"), ({"cron": "0 0 31 2 *"}, "cron"),
        ({"time_zone": "Mars"}, "time_zone"), ({"catch_up": "some"}, "catch_up"), ({"overlap": "maybe"}, "overlap"),
        ({"task": {"agent": "nobody", "input": "x"}}, "task.agent"), ({"task": {"agent": "poet"}}, "task.input"),
        ({"task": {"agent": "poet", "input": "x", "colour": 1}}, "task.colour"),
        ({"task": {"agent": "poet", "input": "x", "priority": 12}}, "task.priority"),
        ({"task": {"agent": "poet", "input": "x", "parameters": {"temprature": 1}}}, "task.parameters.temprature"),
        ({"task": {"agent": "poet", "prompt": "x"}}, "task.prompt"),
        ({"task": {"agent": "poet", "input": "x", "embed": ["y"]}}, "task.embed"),
        ({"task": {"agent": "poet", "input": "x", "idempotency_key": "k"}}, "task.idempotency_key"),
        ({"task": {"agent": "poet", "input": "x", "deadline_at": "2090-01-01T00:00:00Z"}}, "task.deadline_at"),
        ({"task": {"agent": "poet", "input": "x", "conversation": "x"}}, "task.conversation"),
        ({"task": "x"}, "task"), ({"colour": "red"}, "colour"), ({"name": ""}, "name"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(ann: Application, scene: Scene, more: dict[str, Any], field: str) -> None:
    refused(ann.post(SCHEDULES, body(**more)), 400, field)
    assert not Schedule.objects.for_tenant(scene.ann.tenant).exists()


def test_names_are_taken_once_and_schedules_are_their_tenant_s(
    ann: Application, bob: Application, scene: Scene
) -> None:
    path = f"{SCHEDULES}/{ann.post(SCHEDULES, body()).json()['id']}"
    refused(ann.post(SCHEDULES, body()), 409, "name", "conflict")
    assert bob.names(SCHEDULES, "name") == []
    hers = str(scene.ann.conversation().pk)
    refused(bob.post(SCHEDULES, body(task={**TASK, "conversation": hers})), 400, "task.conversation")
    ann.post("/api/v1/agents", {"slug": "bard", "pool": scene.pool.slug})
    refused(bob.post(SCHEDULES, body(task={"agent": "bard", "input": "x"})), 400, "task.agent")
    for method, where, asked in [
        ("GET", path, None), ("PATCH", path, {"name": "mine"}), ("DELETE", path, None), ("GET", f"{path}/next", None),
        ("GET", f"{path}/firings", None),
    ]:  # fmt: skip
        refused(bob.call(method, where, asked), 404)
    assert ann.get(path).json()["name"] == "daily"
    assert bob.post(SCHEDULES, body()).status_code == 201


def test_scopes(ann: Application, scene: Scene) -> None:
    ann.post(SCHEDULES, body())
    for scopes, reads, writes in [
        (["schedules:read"], 200, 403), (["schedules:write"], 403, 403),  # it would submit what its key may not
        (["schedules:write", "tasks:write"], 403, 201), (["tasks:write"], 403, 403), ([], 200, 201),
    ]:  # fmt: skip
        key = issue_key(tenant=scene.ann.tenant, name="scoped", scopes=scopes).secret
        scoped = Application(Party(scene.ann.tenant, scene.ann.agent, key), ann.client)
        answers = scoped.get(SCHEDULES), scoped.post(SCHEDULES, body(name="-".join(scopes) or "all"))
        assert tuple(answer.status_code for answer in answers) == (reads, writes), scopes


def test_postgres_holds_what_a_schedule_is(ann: Application, scene: Scene) -> None:
    ann.post(SCHEDULES, body())
    schedule = Schedule.objects.for_tenant(scene.ann.tenant).get()
    rows = Schedule.objects.for_tenant(scene.ann.tenant)
    for wrong in ({"next_at": None}, {"is_enabled": False}, {"catch_up": "some"}, {"paused_at": timezone.now()}):
        with pytest.raises(IntegrityError), transaction.atomic():
            rows.update(**wrong)
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    Firing.objects.create(tenant=scene.ann.tenant, schedule=schedule, nominal_at=moment, state="fired")
    with pytest.raises(IntegrityError), transaction.atomic():
        Firing.objects.create(tenant=scene.ann.tenant, schedule=schedule, nominal_at=moment, state="missed")


def test_old_firings_are_forgotten(ann: Application, scene: Scene) -> None:
    ann.post(SCHEDULES, body())
    schedule = Schedule.objects.for_tenant(scene.ann.tenant).get()
    for day in (1, 2):
        moment = datetime(2026, 1, day, tzinfo=UTC)
        Firing.objects.create(tenant=scene.ann.tenant, schedule=schedule, nominal_at=moment, state="fired")
    old = Firing.objects.for_tenant(scene.ann.tenant).filter(nominal_at__day=1)
    old.update(created_at=timezone.now() - timedelta(days=31))
    assert retention()["firings"] == 1
    assert Firing.objects.for_tenant(scene.ann.tenant).get().nominal_at.day == 2


def test_the_console_shows_and_switches(ann: Application, scene: Scene, admin_client: Client) -> None:
    ann.post(SCHEDULES, body())
    schedule = Schedule.objects.for_tenant(scene.ann.tenant).get()
    page = reverse("admin:schedules_schedule_change", args=[schedule.pk])
    assert "18:00 CE" in admin_client.get(page).content.decode()
    assert "daily" in admin_client.get(reverse("admin:schedules_schedule_changelist")).content.decode()
    assert admin_client.get(reverse("admin:schedules_firing_changelist")).status_code == 200
    for name, enabled in (("pause", False), ("pause", False), ("resume", True), ("resume", True)):
        url = reverse(f"admin:schedules_schedule_{name}", args=[schedule.pk])
        assert "dialog-form" in admin_client.get(url).content.decode()
        assert admin_client.post(url, {"_form_submitted": "True"}).headers["HX-Redirect"] == page
        schedule.refresh_from_db()
        assert (schedule.is_enabled, schedule.next_at is not None) == (enabled, enabled)
