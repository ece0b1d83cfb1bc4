"""The playground: real tasks in the tenant's name, for those who may, and never across tenants."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from agents.faces.principals import Directory
from agents.models import Task
from agents.money import cost_of
from agents.problems import Problem
from agents.services import draft_revision
from audit.models import Entry
from billing.models import Price
from comparisons.models import InputSet
from comparisons.services import create_input_set
from console.playground.results import result_of, tasks_of
from staff.access import Access
from staff.models import StaffRole
from taskqueue.sync_client import Queue
from tenants.models import Tenant
from tests.faces.conftest import live_scene
from tests.scene import Party, Scene
from tests.staff.members import at_the_console

__all__ = ["live_scene"]

committed = pytest.mark.django_db(transaction=True)
Role = StaffRole.Role
OPERATOR = Access(Role.OPERATOR)


def sent(client: Client, name: str, body: Any) -> Any:
    return client.post(reverse(f"console:{name}"), msgspec.json.encode(body), content_type="application/json")


def asked(party: Party, *sides: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What the page sends for these sides, one of the party's agent unless others are given."""
    said = {"messages": [{"role": "user", "content": "Sing."}]}
    return {
        "tenant": party.tenant.slug,
        "run": uuid.uuid4().hex,
        "sides": [{**said, **side} for side in sides or ({"agent": "poet"},)],
        **more,
    }


@pytest.fixture
def room(live_scene: Scene, database_url: str, settings: Any) -> Scene:
    """Two tenants, committed, where a run from this process finds them."""
    settings.DATABASE_URL = database_url
    return live_scene


@committed
def test_two_sides_run_together_as_tasks_of_the_tenant_that_say_who_asked(room: Scene, redis_url: str) -> None:
    agent, tenant = room.ann.agent, room.ann.tenant
    draft_revision(agent=agent, tenant=tenant, changes={"system_prompt": "Rhyme."}, created_by="test")
    operator = at_the_console(Role.OPERATOR)
    body = asked(room.ann, {"agent": "poet"}, {"agent": "poet", "revision": 2}, parameters={"temperature": 0})
    sides = sent(operator, "playground_run", body).json()["sides"]
    assert [side["revision"] for side in sides] == [1, 2]
    tasks = [Task.objects.for_tenant(tenant).get(pk=side["task"]) for side in sides]
    who = {task.submitted_by for task in tasks}
    assert who == {Entry.objects.filter(action="task.submit").values_list("actor", flat=True)[0]}
    assert [(task.api_key_id, task.params["temperature"], task.metadata) for task in tasks] == [
        (None, 0, {"made_in": "console playground"})
    ] * 2
    assert Entry.objects.filter(action="task.submit", tenant_id=tenant.pk).count() == 2
    queue = Queue(redis_url, room.pool.slug)
    assert [queue.read_log(str(task.pk))[0].kind for task in tasks] == ["state", "state"]
    queue.close()
    again = sent(operator, "playground_run", body).json()["sides"]  # the same press, sent twice
    assert [side["task"] for side in again] == [side["task"] for side in sides]


@committed
def test_the_tenants_limits_hold_and_each_side_says_why_it_was_refused(room: Scene) -> None:
    Tenant.objects.filter(pk=room.ann.tenant.pk).update(requests_per_minute=1)
    operator = at_the_console(Role.OPERATOR)
    sides = sent(operator, "playground_run", asked(room.ann, {"agent": "poet"}, {"agent": "poet"})).json()["sides"]
    (refused,) = [side["problem"] for side in sides if "problem" in side]
    assert (refused["code"], "1 requests per minute" in refused["detail"]) == ("rate_limit_exceeded", True)
    body = asked(room.bob, parameters={"temperature": 9})
    (side,) = sent(operator, "playground_run", body).json()["sides"]
    assert side["problem"]["errors"][0]["field"] == "parameters.temperature"
    Tenant.objects.filter(pk=room.bob.tenant.pk).update(is_active=False)
    answer = sent(operator, "playground_run", asked(room.bob))
    assert (answer.status_code, answer.json()["code"]) == (409, "tenant_inactive")
    assert not Task.objects.for_tenant(room.bob.tenant).exists()


@committed
def test_stop_ends_what_waits(room: Scene) -> None:
    administrator = at_the_console(Role.TENANT_ADMINISTRATOR, room.ann.tenant)
    (side,) = sent(administrator, "playground_run", asked(room.ann)).json()["sides"]
    other = at_the_console(Role.TENANT_ADMINISTRATOR, room.bob.tenant)
    assert sent(other, "playground_stop", {"tasks": [side["task"]]}).status_code == 404
    assert sent(at_the_console(Role.VIEWER), "playground_stop", {"tasks": [side["task"]]}).status_code == 403
    assert sent(administrator, "playground_stop", {"tasks": [side["task"]]}).json() == {"stopped": 1}
    assert Entry.objects.filter(action="task.cancel", object_id=side["task"]).exists()


@committed
def test_each_side_names_its_stream_and_its_result_waits_for_the_record(room: Scene) -> None:
    operator = at_the_console(Role.OPERATOR)
    (side,) = sent(operator, "playground_run", asked(room.ann)).json()["sides"]
    assert side["events"] == reverse("console:task", args=[side["task"]]) + "events"
    path = reverse("console:playground_result", args=[side["task"]])
    assert (operator.get(path).json()["state"], operator.get(path).json()["ended"]) == ("queued", False)
    Task.objects.for_tenant(room.ann.tenant).update(state="succeeded", output="Roses", finished_at=timezone.now())
    found = operator.get(path).json()
    assert (found["task"], found["ended"], found["output"]) == (side["task"], True, "Roses")


@committed
async def test_staff_ask_in_the_name_of_an_active_tenant_only(room: Scene, database_url: str) -> None:
    from agents.faces.database import Database

    db = Database(database_url)
    await db.open()
    directory, tenant = Directory(db), room.ann.tenant
    principal = await directory.principal_of_staff(tenant.pk, "otto")
    assert (principal.key, principal.submitted_by, principal.max_waiting) == (None, "otto", tenant.max_waiting)
    assert await directory.principal_behind(key=None, tenant=tenant.pk, submitted_by="") is None
    await Tenant.objects.filter(pk=room.bob.tenant.pk).aupdate(is_active=False)
    with pytest.raises(Problem) as refusal:
        await directory.principal_behind(key=None, tenant=room.bob.tenant.pk, submitted_by="otto")
    assert refusal.value.code == "tenant_inactive"
    await db.close()


@pytest.mark.django_db
def test_who_may_do_what(scene: Scene) -> None:
    page = reverse("console:playground")
    assert Client().get(page).status_code == 302
    for role, may in ((Role.OPERATOR, True), (Role.VIEWER, False)):
        text = at_the_console(role).get(page).content.decode()
        assert (">Run</button>" in text) is may
    viewer = at_the_console(Role.VIEWER)
    assert sent(viewer, "playground_run", asked(scene.ann)).status_code == 403
    said = {
        "tenant": scene.ann.tenant.slug,
        "agent": "poet",
        "name": "a",
        "messages": [{"role": "user", "content": "x"}],
    }
    assert sent(viewer, "playground_save", said).status_code == 403
    administrator = at_the_console(Role.TENANT_ADMINISTRATOR, scene.ann.tenant)
    assert f'value="{scene.ann.tenant.slug}"' in administrator.get(page).content.decode()
    other = scene.bob.tenant.slug
    assert sent(administrator, "playground_run", asked(scene.bob)).status_code == 404
    assert sent(administrator, "playground_save", {**said, "tenant": other}).status_code == 404
    assert administrator.get(reverse("console:playground_agents", args=[other])).status_code == 404
    assert administrator.get(reverse("console:playground_agent", args=[other, "poet"])).status_code == 404
    found = administrator.get(reverse("console:playground_tenants")).json()["found"]
    assert [one["value"] for one in found] == [scene.ann.tenant.slug]
    task = scene.bob.task()
    assert administrator.get(reverse("console:playground_result", args=[task.pk])).status_code == 404
    assert Client().post(reverse("console:playground_run")).status_code == 302


@pytest.mark.django_db
def test_what_belongs_to_another_tenant_is_not_there(scene: Scene) -> None:
    operator = at_the_console(Role.OPERATOR)
    draft_revision(agent=scene.bob.agent, tenant=scene.bob.tenant, changes={"system_prompt": "x"}, created_by="test")
    for side in ({"agent": "nobody"}, {"agent": "poet", "revision": 2}):
        assert sent(operator, "playground_run", asked(scene.ann, side)).status_code == 404
    theirs = create_input_set(agent=scene.bob.agent, name="theirs", items=[{"input": "x"}], created_by="test")
    said = {
        "tenant": scene.ann.tenant.slug,
        "agent": "poet",
        "name": "a",
        "messages": [{"role": "user", "content": "x"}],
    }
    assert sent(operator, "playground_save", {**said, "base": str(theirs.pk)}).status_code == 404
    for wrong, field in (({"run": "x"}, "run"), ({"sides": []}, "sides"), ({"what": 1}, "what")):
        answer = sent(operator, "playground_run", {**asked(scene.ann), **wrong})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)


@pytest.mark.django_db
def test_an_input_is_saved_alone_or_behind_those_of_a_set(scene: Scene) -> None:
    administrator = at_the_console(Role.TENANT_ADMINISTRATOR, scene.ann.tenant)
    messages = [{"role": "user", "content": "2 + 2?"}]
    said = {"tenant": scene.ann.tenant.slug, "agent": "poet", "name": "sums", "messages": messages}
    assert sent(administrator, "playground_save", {**said, "checks": {"json": {"sum": 4}}}).json()["inputs"] == 1
    first = InputSet.objects.for_tenant(scene.ann.tenant).get(name="sums")
    assert first.created_by.startswith(Role.TENANT_ADMINISTRATOR)
    answer = sent(administrator, "playground_save", said)
    assert (answer.status_code, "choose another name" in answer.json()["detail"]) == (409, True)
    more = sent(administrator, "playground_save", {**said, "name": "more sums", "base": str(first.pk)})
    assert more.json()["inputs"] == 2
    longer = InputSet.objects.for_tenant(scene.ann.tenant).get(name="more sums")
    assert [item["checks"] for item in longer.items] == [{"json": {"sum": 4}}, {}]
    known = administrator.get(reverse("console:playground_agent", args=[scene.ann.tenant.slug, "poet"])).json()
    assert [(one["name"], one["inputs"]) for one in known["sets"]] == [("more sums", 2), ("sums", 1)]


@pytest.mark.django_db
def test_few_queries_however_many_there_are(scene: Scene, django_assert_max_num_queries: Any) -> None:
    operator = at_the_console(Role.OPERATOR)
    tenants = [Tenant(slug=f"many-{n}", name="Many") for n in range(60)]
    Tenant.objects.bulk_create(tenants)
    for _ in range(3):
        draft_revision(
            agent=scene.ann.agent, tenant=scene.ann.tenant, changes={"system_prompt": "x"}, created_by="test"
        )
    with django_assert_max_num_queries(7):
        operator.get(reverse("console:playground"))
    with django_assert_max_num_queries(5):
        found = operator.get(reverse("console:playground_tenants"), {"q": "many"}).json()["found"]
    assert len(found) == 10
    assert operator.get(reverse("console:playground_tenants"), {"q": "many\0"}).json()["found"] == found
    with django_assert_max_num_queries(11):
        known = operator.get(reverse("console:playground_agent", args=[scene.ann.tenant.slug, "poet"])).json()
    assert known["published"] == "published: r1 100 %"
    assert [(one["number"], one["serves"]) for one in known["revisions"]][-1] == (1, "100 %")


@pytest.mark.django_db
def test_a_result_has_the_price_of_the_moment(scene: Scene) -> None:
    now = timezone.now()
    prices = [{"valid_from": now.isoformat(), "input": "2.000000", "cached_input": "0.500000", "output": "8.000000"}]
    counts = {"prompt_tokens": 1000, "cached_tokens": 400, "completion_tokens": 100}
    assert cost_of(**counts, prices=prices, at=now) == Decimal("0.0022")
    assert cost_of(**counts, prices=[], at=now) is None
    Price.objects.create(pool=scene.pool, valid_from=now, input=2, cached_input=1, output=8)
    task = scene.ann.task()
    task.turns.update(prompt_tokens=1_000_000, completion_tokens=500_000, finished_at=now)
    result = result_of(tasks_of(OPERATOR, [task.pk]).get())
    assert (result["cost"], result["ended"], result["total_s"]) == ("6.00", False, None)
