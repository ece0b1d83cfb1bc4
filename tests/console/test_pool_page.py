"""The page of a pool: who may see and do what, how many queries it takes, what a policy would have done."""

from __future__ import annotations

import html
import re
import time
import uuid
from typing import Any

import pytest
from django.utils import timezone
from django.utils.text import capfirst
from pytest_django import DjangoAssertNumQueries

from audit.models import Entry
from console.frame import NotFound
from console.pools import state, timeline
from console.pools.forms import FIELDS, version_of
from orchestrator import records, steering
from orchestrator.manual_rows import ManualSize
from orchestrator.models import Pool, Rollout, ScalingDecision, ScalingPolicy
from staff.access import Access
from taskqueue.messages import SamplingParams, Submission, TurnBody
from taskqueue.sync_client import Queue
from tenants.services import create_tenant
from tests.console.conftest import Enter
from tests.console.pool_scene import decide, fields_of, lived, pool, queue, url_of, worker

__all__ = ["pool", "queue"]

OPERATOR = Access("operator")
ACTIONS = ("pause", "resume", "size", "end_size", "drain", "roll", "go_on", "go_back", "try_again")


# -- who -------------------------------------------------------------------------------------------
def test_who_is_not_logged_in_is_asked_to(client: Any, pool: Pool) -> None:
    assert client.get(url_of(pool)).status_code == 302


@pytest.mark.parametrize(
    ("role", "status"), [("operator", 200), ("viewer", 200), ("tenant_administrator", 404), (None, 403)]
)
def test_who_may_look(enter: Enter, pool: Pool, role: str | None, status: int) -> None:
    theirs = create_tenant(slug="theirs", name="Theirs") if role == "tenant_administrator" else None
    client = enter(role, theirs)
    for path in (url_of(pool), url_of(pool, "timeline/"), "/console/pools/"):
        assert client.get(path).status_code == status, path


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("tenant_administrator", 404), (None, 403)])
def test_who_may_not_act(enter: Enter, pool: Pool, role: str | None, status: int) -> None:
    theirs = create_tenant(slug="theirs", name="Theirs") if role == "tenant_administrator" else None
    client = enter(role, theirs)
    for path in (*(f"do/{action}/" for action in ACTIONS), "policy/"):
        answer = client.post(url_of(pool, path), {"workers": 3, "minutes": 5, "max_workers": 9})
        assert answer.status_code == status, path
    pool.refresh_from_db()
    assert not pool.is_paused
    assert pool.generation == 0
    assert not ManualSize.objects.exists()
    assert ScalingPolicy.objects.get().max_workers == 4
    assert not Entry.objects.filter(action__startswith="pool.").exists()


def test_nothing_is_done_by_looking(enter: Enter, pool: Pool) -> None:
    client = enter("operator")
    for path in (*(f"do/{action}/" for action in ACTIONS), "policy/", "policy/try/"):
        assert client.get(url_of(pool, path)).status_code == 405


def test_what_is_not_there_is_404(enter: Enter, pool: Pool) -> None:
    client = enter("operator")
    assert client.get("/console/pools/nobody/").status_code == 404
    assert client.post(url_of(pool, "do/explode/")).status_code == 404
    with pytest.raises(NotFound):
        state.read(OPERATOR, "nobody")


def test_the_policy_is_told_in_the_list_and_on_top_of_the_page(enter: Enter, pool: Pool) -> None:
    client = enter("viewer")
    assert "queue depth with cooldown, 0 to 4" in client.get("/console/pools/").content.decode()
    assert "policy: queue depth with cooldown, 0 to 4 workers" in client.get(url_of(pool)).content.decode()
    ScalingPolicy.objects.all().delete()
    assert "the defaults" in client.get("/console/pools/").content.decode()
    assert "policy: queue depth with cooldown, 0 to 2 workers" in client.get(url_of(pool)).content.decode()


def test_a_viewer_sees_no_buttons_that_act(enter: Enter, pool: Pool) -> None:
    page = enter("viewer").get(url_of(pool)).content.decode()
    assert "data-action=" not in page
    assert "Save policy" not in page
    assert "Try on the last day" in page


# -- what it shows ---------------------------------------------------------------------------------
def test_the_page_and_its_timeline_take_few_queries(
    enter: Enter, pool: Pool, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = enter("operator")
    lived(pool)
    with django_assert_max_num_queries(8):
        assert client.get(url_of(pool)).status_code == 200
    with django_assert_max_num_queries(10):
        assert client.get(url_of(pool, "timeline/?span=7d")).status_code == 200
    with django_assert_max_num_queries(8):
        assert client.get("/console/pools/").status_code == 200


def test_the_snapshot_takes_as_many_queries_for_many_workers_and_tenants(
    pool: Pool, queue: Queue, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    lived(pool)
    body = TurnBody(prompt="hi", params=SamplingParams())
    for number in range(3):
        tenant = create_tenant(slug=f"t-{number}-{uuid.uuid4().hex[:6]}", name="T")
        worker(pool, time.time() - 100)
        turns = [f"turn-{uuid.uuid4().hex}" for _ in range(number + 1)]
        queue.enqueue([Submission(turn=one, task=one, tenant=str(tenant.pk), body=body) for one in turns])
    with django_assert_num_queries(7):
        told = state.read(OPERATOR, pool.slug)
    assert told["waiting"] == 6
    assert [tenant["waiting"] for tenant in told["tenants"]] == [3, 2, 1]
    assert told["tenants"][0]["name"].startswith("t-2-")
    assert (told["ready"], len(told["workers"]), told["slots"]) == (3, 3, 12)
    assert [re.sub(r"\d\d:\d\d:\d\d", "10:16:03", said) for said in told["notices"]] == ["At 10:16:03: No room."]
    assert "of 10 worker-hours of the day" in told["hours"]
    assert told["line"][-1] == "No orchestrator has foretold anything in the last seconds."
    for _ in range(20):
        worker(pool, time.time() - 100)
    with django_assert_num_queries(7):
        assert len(state.read(OPERATOR, pool.slug)["workers"]) == 23


def test_without_redis_it_says_what_it_does_not_know(pool: Pool, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    worker(pool, time.time() - 100)
    told = state.read(OPERATOR, pool.slug)
    assert told["error"] == "Redis does not answer: demand is unknown."
    assert len(told["workers"]) == 1
    assert "waiting" not in told


def test_what_may_be_said_follows_from_how_it_stands(pool: Pool) -> None:
    now = timezone.now()

    def may() -> set[str]:
        return set(state.snapshot(state.found(pool.slug), now=now.timestamp())["may"])

    assert may() == {"pause", "size", "drain", "roll"}
    steering.pause(pool.pk)
    assert may() == {"resume", "drain"}
    steering.drain(pool.pk, now=now, by="ann")
    assert may() == {"resume", "size", "roll"}
    steering.set_size(pool.pk, workers=2, minutes=5, now=now, by="ann")
    assert may() == {"pause", "size", "end_size", "drain", "roll"}
    pool.revisions.update(ready_at=now)
    steering.roll_all(pool.pk, now=now, by="ann")
    assert may() == {"pause", "size", "end_size", "drain", "go_on", "go_back"}
    Rollout.objects.update(state="failed")
    assert "try_again" in may()


def test_the_timeline_has_demand_workers_and_decisions_of_its_span(pool: Pool) -> None:
    now = lived(pool)
    told = timeline.read(pool, span="1h", until=now)
    assert (told["since"], told["until"]) == (now - 3600, now)
    assert told["at"] == sorted(told["at"])
    assert {len(told[name]) for name in ("waiting", "came", "desired", "ready")} == {len(told["at"])}
    assert max(told["ready"]) == 1
    assert max(one for one in told["came"] if one is not None) == 12
    assert told["desired"][0] == 2  # by the last decision before the span
    assert len(told["decisions"]) == ScalingDecision.objects.filter(at__gt=records.moment(now - 3600)).count() > 0
    one = told["decisions"][0]
    assert "waiting" in one["reason"]
    assert one["signals"].startswith("9 tasks waiting, 0 running; the work alone would need")


def test_a_span_that_is_none_and_a_moment_that_is_none_are_refused(enter: Enter, pool: Pool) -> None:
    client = enter("viewer")
    assert client.get(url_of(pool, "timeline/?span=1y")).json()["error"].startswith("span is one of 1h")
    for moment in ("soon", "nan", "-1", "inf"):
        answer = client.get(url_of(pool, f"timeline/?until={moment}"))
        assert answer.status_code in (200, 400), moment
        if moment != "inf":
            assert answer.json()["error"] == "until is a moment in Unix seconds."


def test_an_old_decision_is_found_in_its_own_span(enter: Enter, pool: Pool) -> None:
    now = time.time()
    old, recent = decide(pool, now - 20 * 86_400), decide(pool, now - 7200)
    assert timeline.span_around(recent, now=now) == ("6h", now)
    span, until = timeline.span_around(old, now=now)
    assert str(old.pk) in {one["id"] for one in timeline.read(pool, span=span, until=until)["decisions"]}
    client = enter("viewer")
    assert f'data-decision="{old.pk}"' in client.get(url_of(pool, f"?decision={old.pk}")).content.decode()
    for wrong in (uuid.uuid4(), "nonsense"):
        assert "There is no such decision" in client.get(url_of(pool, f"?decision={wrong}")).content.decode()


# -- what it does ----------------------------------------------------------------------------------
def test_what_is_said_to_a_pool_is_done_and_written_down(enter: Enter, pool: Pool) -> None:
    client = enter("operator")
    name = client.user.username  # type: ignore[attr-defined]
    pool.revisions.update(ready_at=timezone.now())

    def act(action: str, **said: Any) -> str:
        answer = client.post(url_of(pool, f"do/{action}/"), said, follow=True)
        assert answer.status_code == 200
        return " ".join(str(message) for message in answer.context["messages"])

    assert act("pause") == "Scaling is paused: the fleet is left as it is."
    assert act("size", workers=3, minutes=5) == "The pool is paused, so no size would be kept: resume it first."
    assert act("resume") == "The fleet follows its policy again."
    assert act("size", workers=3, minutes=30).startswith("The size is set to 3 until ")
    assert "workers: " in act("size", workers=-1, minutes=30)
    assert ManualSize.objects.get().set_by == name
    assert act("end_size") == "The policy decides again."
    assert act("drain").startswith("The pool is being drained")
    act("resume")
    assert act("roll") == "Revision 2 replaces all workers in waves; it is made from the same."
    assert act("go_back").startswith("The fleet is brought back")
    assert act("go_on") == "The roll-out has moved on meanwhile: this cannot be said to it any more."
    assert act("try_again") == "It is rolled out once more."
    written = list(
        Entry.objects.filter(action__startswith="pool.")
        .exclude(action="pool.change")
        .order_by("id")
        .values_list("action", flat=True)
    )
    assert written == [
        f"pool.{action}"
        for action in ("pause", "resume", "size", "end_size", "drain", "resume", "roll", "go_back", "try_again")
    ]
    size = Entry.objects.get(action="pool.size")
    assert (size.actor, size.object_name, size.before["size"]) == (name, pool.slug, None)  # type: ignore[index]
    assert size.after["size"]["workers"] == 3  # type: ignore[index]


def test_a_policy_is_saved_unless_it_was_changed_meanwhile(enter: Enter, pool: Pool) -> None:
    client = enter("operator")
    shown = fields_of(pool, max_workers=7)
    assert client.post(url_of(pool, "policy/"), shown).status_code == 302
    assert ScalingPolicy.objects.get(pool=pool).max_workers == 7
    answer = client.post(url_of(pool, "policy/"), {**shown, "max_workers": 8}, follow=True)
    assert "Somebody else has changed this policy meanwhile" in answer.content.decode()
    assert ScalingPolicy.objects.get(pool=pool).max_workers == 7


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("wait_share", 2),
        ("max_workers", ""),
        ("schedule", '[{"days": "mon"}]'),
        ("time_zone", "Mars"),
        ("min_workers", 99),
    ],
)
def test_a_policy_that_is_not_right_is_neither_saved_nor_tried(
    enter: Enter, pool: Pool, field: str, value: Any
) -> None:
    client = enter("operator")
    lived(pool)
    answer = client.post(url_of(pool, "policy/"), fields_of(pool, **{field: value}))
    assert answer.status_code == 400
    assert "The policy was not saved" in answer.content.decode()
    tried = client.post(url_of(pool, "policy/try/"), fields_of(pool, **{field: value}))
    assert tried.status_code == 400
    assert tried.json()["fields"]
    assert ScalingPolicy.objects.get(pool=pool).max_workers == 4


def test_a_policys_fields_have_the_same_words_on_its_page_and_in_its_forms(enter: Enter, pool: Pool) -> None:
    client = enter("operator")
    shown = [url_of(pool), f"/console/orchestrator/pool/{pool.pk}/change/"]
    shown.append(f"/console/orchestrator/scalingpolicy/{ScalingPolicy.objects.get().pk}/change/")
    pages = [html.unescape(client.get(path).content.decode()) for path in shown]
    for name in FIELDS:
        field = ScalingPolicy._meta.get_field(name)
        for words in (capfirst(field.verbose_name), field.help_text):
            for path, page in zip(shown, pages, strict=True):
                assert words in page, f"{path}: {words}"


def test_a_minimum_above_the_maximum_is_refused_in_a_sentence(enter: Enter, pool: Pool) -> None:
    answer = enter("operator").post(url_of(pool, "policy/try/"), fields_of(pool, min_workers=9))
    assert answer.json()["fields"] == {"__all__": ["The minimum of workers is above the maximum."]}


def test_a_pool_without_a_policy_gets_one(enter: Enter, pool: Pool) -> None:
    shown = fields_of(pool, max_workers=3, seen=version_of(ScalingPolicy(pool=pool)))
    ScalingPolicy.objects.all().delete()
    assert enter("operator").post(url_of(pool, "policy/"), shown).status_code == 302
    assert ScalingPolicy.objects.get(pool=pool).max_workers == 3
