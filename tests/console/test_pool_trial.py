"""What a policy would have done on a pool's last day, beside what happened: by the stored turns, in bounded time."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from django.utils.timezone import localtime
from pytest_django import DjangoAssertNumQueries

from agents.models import Task, Turn
from console.pools import state, turns
from orchestrator import records, trial_runs
from orchestrator.demand_rows import DemandMinute
from orchestrator.history.book import insert
from orchestrator.history.minutes import Minute
from orchestrator.models import Pool, ScalingPolicy
from orchestrator.revisions import note_edit
from orchestrator.trials import material_of
from staff.access import Access
from taskqueue.sync_client import Queue
from tests.console.conftest import Enter
from tests.console.pool_scene import decide, fields_of, lived, pool, queue, url_of, worker
from tests.scene import Scene

__all__ = ["pool", "queue"]

OPERATOR = Access("operator")
COLD_S = 45.0
HELD_S = 4.0
BURST = 20


def bursts(scene: Scene, *, ago_min: tuple[int, ...] = (170, 110, 50)) -> float:
    """A pool at zero to which twenty tasks come at once, three times: they wait for a cold start. The first minute's begin."""
    pool = scene.pool
    note_edit(pool.pk, now=timezone.now())
    ScalingPolicy.objects.filter(pool=pool).update(max_workers=1, idle_to_zero_s=300)
    first = int(time.time() // 60 - 180) * 60
    came = {180 - ago: first + 60 * (180 - ago) + 7.5 for ago in ago_min}
    insert((pool.pk, Minute(first + 60 * n, BURST * (n in came), 0, 0, 0, 0)) for n in range(180))
    for at in came.values():
        worker(pool, at + COLD_S + 1, at + COLD_S + 310, started_s=COLD_S)
        tasks = [(scene.ann if number % 2 else scene.bob).task() for number in range(BURST)]
        for number, task in enumerate(tasks):
            claimed = at + COLD_S + 1 + HELD_S * (number // pool.slots)
            moments = {"queued_at": at, "claimed_at": claimed, "finished_at": claimed + HELD_S}
            Task.objects.across_tenants().filter(pk=task.pk).update(created_at=records.moment(at))
            Turn.objects.across_tenants().filter(task=task).update(
                **{name: records.moment(moment) for name, moment in moments.items()}
            )
    return float(first)


@pytest.mark.django_db(transaction=True)
def test_a_cold_start_that_made_tasks_wait_does_so_in_the_rehearsal(
    enter: Enter, scene: Scene, redis_url: str, settings: Any
) -> None:
    settings.REDIS_URL = redis_url
    bursts(scene)
    decide(scene.pool, time.time() - 7000, turn_s=0.5)
    answer = enter("viewer").post(url_of(scene.pool, "policy/try/"), fields_of(scene.pool, min_workers=1))
    told = answer.json()
    was, present, candidate = (told[name]["figures"] for name in ("happened", "present", "candidate"))
    assert was["turns"] == present["turns"] == candidate["turns"] == 3 * BURST
    assert was["p50_s"] == pytest.approx(COLD_S + 1 + HELD_S)
    assert present["p50_s"] == pytest.approx(was["p50_s"], abs=2)
    assert present["p95_s"] == pytest.approx(was["p95_s"], abs=2)
    assert present["worker_hours"] == pytest.approx(was["worker_hours"], rel=0.1)
    assert candidate["p95_s"] <= 3 * HELD_S  # a worker that is always there has no start to wait for
    assert told["happened"]["at"] == told["present"]["at"] == told["candidate"]["at"]
    assert told["trust"].startswith("How far to trust it: rehearsed, the present policy comes to 0.")
    assert "to a p99 wait of 54 s where it was 54 s." in told["trust"]
    assert "another policy decided" in told["trust"]  # `decide` went by one of its own
    assert "a start takes 45 s" in told["notes"][-2]
    assert not any("not stored" in note for note in told["notes"])


def test_it_says_until_when_the_present_policy_did_not_decide(pool: Pool) -> None:
    pool = Pool.objects.select_related("policy").get(pk=pool.pk)
    ScalingPolicy.objects.update(schedule=[{"days": ["mon"], "from": "08:00", "to": "09:00", "workers": 1}])
    pool.policy.refresh_from_db()
    now, present = lived(pool), records.policy_of(pool)

    def steered() -> str:
        made = material_of(pool, now=now, bound_s=5.0, hold_s=1.0, foresees=False, turns=lambda *_: [])
        return made.steered

    assert "another policy decided" in steered()  # as `lived` has it
    pool.decisions.all().delete()
    decide(pool, now - 3000, policy=present)
    assert steered() == ""
    paused = decide(pool, now - 2000, policy=present, hindrances=("Scaling is paused.",))
    decide(pool, now - 1000, policy=present)
    assert steered().startswith(f"Until {localtime(paused.at):%Y-%m-%d %H:%M} another policy decided, or")


def test_stored_turns_are_read_by_one_query_and_within_the_span(
    scene: Scene, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    first = bursts(scene)
    with django_assert_num_queries(1), timezone.override("Asia/Tokyo"):
        found = turns.passed(scene.pool.pk, first, first + 80 * 60)
    assert len(found) == 2 * BURST
    assert {turn.queued_at for turn in found} == {first + 60 * 10 + 7.5, first + 60 * 70 + 7.5}
    assert {turn.finished_at - turn.claimed_at for turn in found if turn.finished_at and turn.claimed_at} == {HELD_S}
    Turn.objects.across_tenants().filter(pk=Turn.objects.across_tenants().latest("queued_at").pk).update(
        state="cancelled", claimed_at=None
    )
    Turn.objects.across_tenants().filter(pk=Turn.objects.across_tenants().earliest("queued_at").pk).update(
        state="waiting", claimed_at=None, finished_at=None
    )
    found = turns.passed(scene.pool.pk, first, first + 180 * 60)
    assert (len(found), sum(turn.given_up for turn in found)) == (3 * BURST - 1, 1)
    elsewhere = Pool.objects.create(slug="elsewhere", name="E", engine="simulated")
    assert turns.passed(elsewhere.pk, first, first + 80 * 60) == []


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
    assert "720 turns of them are not stored any more" in told["notes"][1]
    assert "a start takes 20 s; " in told["notes"][-2]
    assert (told["happened"], told["trust"]) == (None, "")
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


def test_turns_that_were_all_taken_back_are_too_little(
    enter: Enter, scene: Scene, redis_url: str, settings: Any
) -> None:
    settings.REDIS_URL = redis_url
    bursts(scene)
    decide(scene.pool, time.time() - 7000, turn_s=0.5)
    Turn.objects.across_tenants().update(state="cancelled", claimed_at=None)
    answer = enter("viewer").post(url_of(scene.pool, "policy/try/"), fields_of(scene.pool))
    assert answer.status_code == 409
    assert answer.json()["error"].startswith(
        "In the last day 60 turns came in that are recorded, and clients took 60 of them back before a worker had them: "
        "that is too little"
    )


@pytest.mark.django_db(transaction=True)
def test_only_so_many_trials_at_a_time_and_none_for_ever(
    enter: Enter, pool: Pool, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(pool)
    client = enter("viewer")
    monkeypatch.setattr(trial_runs, "LIMIT_S", 0.01)
    answer = client.post(url_of(pool, "policy/try/"), fields_of(pool))
    assert (answer.status_code, answer.json()["error"][:19]) == (503, "It took longer than")
    held = [trial_runs._running.acquire(blocking=False) for _ in range(trial_runs.AT_ONCE)]
    try:
        assert held == [True] * trial_runs.AT_ONCE  # the one that was ended holds no place
        assert (
            client.post(url_of(pool, "policy/try/"), fields_of(pool))
            .json()["error"]
            .startswith("2 trials are being made")
        )
    finally:
        for _ in held:
            trial_runs._running.release()
