"""The page of a pool: who may see and do what, how many queries it takes, what a policy would have done."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from audit.models import Entry
from console.frame import NotFound
from console.pools import state, timeline
from console.pools.forms import FIELDS, version_of
from orchestrator import records, steering, trials
from orchestrator.demand_rows import DemandMinute
from orchestrator.history.book import insert
from orchestrator.history.minutes import Minute
from orchestrator.manual_rows import ManualSize
from orchestrator.models import Pool, Rollout, ScalingDecision, ScalingPolicy, Worker
from orchestrator.policies.demand import Demand, History, Policy, Signals
from orchestrator.replay import Inputs, decided, to_json
from orchestrator.revisions import note_edit
from staff.access import Access
from taskqueue.messages import SamplingParams, Submission, TurnBody
from taskqueue.sync_client import Queue
from tenants.services import create_tenant
from tests.console.conftest import Enter

OPERATOR = Access("operator")
ACTIONS = ("pause", "resume", "size", "end_size", "drain", "roll", "go_on", "go_back", "try_again")


@pytest.fixture
def pool(db: None) -> Pool:
    pool = Pool.objects.create(slug=f"pool-{uuid.uuid4().hex[:8]}", name="p", engine="simulated", slots=4)
    ScalingPolicy.objects.create(pool=pool, max_workers=4, gpu_hours_per_day=10)
    note_edit(pool.pk, now=timezone.now())
    return pool


@pytest.fixture
def queue(pool: Pool, redis_url: str, settings: Any) -> Iterator[Queue]:
    settings.REDIS_URL = redis_url
    queue = Queue(redis_url, pool.slug)
    yield queue
    queue.close()


def url_of(pool: Pool, rest: str = "") -> str:
    return f"/console/pools/{pool.slug}/{rest}"


def decide(pool: Pool, at: float, *, current: int = 0, waiting: int = 9, turn_s: float | None = 0.5) -> ScalingDecision:
    signals = Signals(
        slots=4, ready=current, demand=Demand(at=at, waiting=waiting, running=0), turn_s=turn_s, start_s=20.0
    )
    made_from = Inputs(policy=Policy(max_workers=4), signals=signals, history=History(), now=at)
    records.keep_decision(
        pool,
        decided(made_from),
        inputs=to_json(made_from),
        current=current,
        note="",
        refusals={"room": "No room."},
        now=at,
    )
    return pool.decisions.latest("at")


def worker(pool: Pool, begun_at: float, ended_at: float | None = None) -> Worker:
    return Worker.objects.create(
        pool=pool,
        revision=pool.revisions.get(),
        runtime="process",
        slots=4,
        state="ready" if ended_at is None else "stopped",
        started_at=records.moment(begun_at - 20),
        ready_at=records.moment(begun_at),
        stopped_at=None if ended_at is None else records.moment(ended_at),
    )


def lived(pool: Pool, *, minutes: int = 120, arrived: int = 12) -> float:
    """A pool with a past of so many minutes; the moment of its end."""
    now = time.time()
    first = int(now // 60 - minutes) * 60
    insert((pool.pk, Minute(first + 60 * n, arrived * (n % 20 < 10), 900, n % 7, 0, 0)) for n in range(minutes))
    for n in range(6):
        begun = now - 60 * minutes + 1100 * n
        worker(pool, begun, begun + 300)
        decide(pool, begun - 20)
    return now


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


def fields_of(pool: Pool, **changes: Any) -> dict[str, Any]:
    """What the form would send."""
    policy = ScalingPolicy.objects.get(pool=pool)
    shown = {name: getattr(policy, name) for name in FIELDS}
    shown = {name: "" if value is None else value for name, value in shown.items()}
    return {**shown, "schedule": "[]", "seen": version_of(policy), **changes}


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


def test_a_pool_without_a_policy_gets_one(enter: Enter, pool: Pool) -> None:
    shown = fields_of(pool, max_workers=3, seen=version_of(ScalingPolicy(pool=pool)))
    ScalingPolicy.objects.all().delete()
    assert enter("operator").post(url_of(pool, "policy/"), shown).status_code == 302
    assert ScalingPolicy.objects.get(pool=pool).max_workers == 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("role", ["operator", "viewer"])
def test_what_a_policy_would_have_done(enter: Enter, pool: Pool, queue: Queue, role: str) -> None:
    lived(pool)
    answer = enter(role).post(url_of(pool, "policy/try/"), fields_of(pool, min_workers=3, wait_bound_s=2))
    assert answer.status_code == 200
    told = answer.json()
    present, candidate = told["present"]["figures"], told["candidate"]["figures"]
    assert told["bound_s"] == 2
    assert present["turns"] == candidate["turns"] == 720
    assert candidate["worker_hours"] > present["worker_hours"]
    assert candidate["late"] <= present["late"]
    assert max(told["candidate"]["ready"]) >= 3
    assert told["notes"][0].startswith("It covers 2 h, ")
    assert told["notes"][0].endswith("with 720 turns.")
    assert "No more of the last day is recorded." in told["notes"]
    assert "a start takes 20 s" in told["notes"][-1]
    assert ScalingPolicy.objects.get(pool=pool).min_workers == 0


def test_a_stored_policy_that_cannot_be_read_is_said_to_be_so(enter: Enter, pool: Pool, queue: Queue) -> None:
    lived(pool)
    shown = fields_of(pool)
    ScalingPolicy.objects.update(schedule=[{"days": "mon"}])
    assert state.read(OPERATOR, pool.slug)["ready"] == 0
    client = enter("operator")
    assert client.get(url_of(pool)).status_code == 200
    answer = client.post(url_of(pool, "policy/try/"), shown)
    assert answer.status_code == 409
    assert answer.json()["error"].startswith("The present policy cannot be read: Row 1 of the schedule")


def test_too_little_is_said_plainly(enter: Enter, pool: Pool, queue: Queue) -> None:
    client = enter("viewer")
    answer = client.post(url_of(pool, "policy/try/"), fields_of(pool))
    assert answer.status_code == 409
    assert answer.json()["error"].startswith("In the last day 0 turns came in that are recorded: that is too little")
    insert([(pool.pk, Minute(int(time.time() // 60) * 60 - 120, 50, 900, 0, 0, 0))])
    assert (
        client.post(url_of(pool, "policy/try/"), fields_of(pool))
        .json()["error"]
        .startswith("What a turn costs a worker")
    )
    DemandMinute.objects.update(minute=timezone.now() - timedelta(days=3))
    assert "too little" in client.post(url_of(pool, "policy/try/"), fields_of(pool)).json()["error"]


@pytest.mark.django_db(transaction=True)
def test_only_so_many_trials_at_a_time_and_none_for_ever(
    enter: Enter, pool: Pool, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(pool)
    client = enter("viewer")
    monkeypatch.setattr(trials, "LIMIT_S", 0.01)
    answer = client.post(url_of(pool, "policy/try/"), fields_of(pool))
    assert (answer.status_code, answer.json()["error"][:19]) == (503, "It took longer than")
    held = [trials._running.acquire(blocking=False) for _ in range(trials.AT_ONCE)]
    try:
        assert held == [True] * trials.AT_ONCE  # the one that was ended holds no place
        assert (
            client.post(url_of(pool, "policy/try/"), fields_of(pool))
            .json()["error"]
            .startswith("2 trials are being made")
        )
    finally:
        for _ in held:
            trials._running.release()
