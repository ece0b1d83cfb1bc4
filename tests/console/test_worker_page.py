"""A worker's page and its topic: what they show, who may see and do what, and what they cost."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from redis import Redis

from agents.models import Turn
from audit.models import Entry
from console.frame import NotFound
from console.topics import TOPICS
from console.workers.history import Word, rates
from console.workers.state import snapshot
from orchestrator import records
from orchestrator.models import Worker
from orchestrator.revisions import note_edit
from orchestrator.work_rows import WorkMinute
from staff.access import Access
from staff.models import StaffRole
from taskqueue.looks import Gauge, Glimpse, Looks
from taskqueue.messages import WorkerStatus
from taskqueue.sync_client import Queue
from tests.console.conftest import Enter
from tests.scene import Scene

Role = StaffRole.Role


@pytest.fixture
def worker(scene: Scene) -> Worker:
    """Ready for ten minutes, with recorded work and a start that was measured."""
    pool, now = scene.pool, timezone.now()
    pool.env, pool.engine_args = {"HF_TOKEN": "hf_secret_word", "OMP_NUM_THREADS": "2"}, {"step_base_s": 0.02}
    pool.save()
    revision = note_edit(pool.pk, now=now).current
    row = records.new_worker(pool, revision, reason="Work waits.", now=now.timestamp() - 700)
    phases = {"runtime": 0.2, "import": 3.0, "load": 5.5, "heard": 0.1}
    records.change(row, state="ready", ready_at=now - timedelta(minutes=10), start_phases=phases, runtime_ref="ref")
    for minute in range(5):
        at = now - timedelta(minutes=5 - minute)
        sums = {"busy_ms": 30_000 * minute, "steps": minute, "sequences": 600 * minute, "prefilled": 0}
        WorkMinute.objects.create(worker=row, minute=at.replace(second=0, microsecond=0), at=at, **sums)
    return row


def hold(scene: Scene, worker: Worker, redis: Redis, count: int) -> list[Turn]:
    """Have the worker hold so many turns, which Postgres knows, and beat once."""
    turns = []
    for nth in range(count):
        party = (scene.ann, scene.bob)[nth % 2]
        task = party.task()
        turns.append(Turn.objects.for_tenant(party.tenant).get(task=task))
    prefix = f"opsite:{{{scene.pool.slug}}}:"
    if turns:
        redis.sadd(f"{prefix}held:{worker.pk}", *(str(turn.pk) for turn in turns))
    status = WorkerStatus(
        worker=str(worker.pk), phase="ready", engine="simulated", model="", slots=64, running=count, tokens_total=9000,
        started_ms=1, ready_ms=1,
    )  # fmt: skip
    Queue(redis, scene.pool.slug).heartbeat(status, [], lease_s=60)
    return turns


# -- what is shown -------------------------------------------------------------------------------
def test_a_living_worker_is_shown_with_all_that_is_known_of_it(scene: Scene, worker: Worker, redis: Redis) -> None:
    turns = hold(scene, worker, redis, 2)
    gpu = Gauge(device="GPU-a", name="H100", memory_used_mib=1024, memory_total_mib=81_559, utilisation=50)
    lines = ("ready", "the token is •••")
    Looks(redis).show(
        {str(worker.pk): Glimpse(host="here", pid=7, cpus=1.5, memory_bytes=1 << 30, gpus=(gpu,), lines=lines)}
    )
    shown = TOPICS["worker"].read(Access(Role.VIEWER), str(worker.pk))
    assert json.dumps(shown)
    assert (shown["state"], shown["started_because"], shown["held"]) == ("ready", "Work waits.", 2)
    assert {(turn["task"], turn["tenant"]) for turn in shown["turns"]} == {
        (str(turn.task_id), turn.tenant.name) for turn in turns
    }
    assert (shown["running"], shown["slots"], shown["tokens_total"]) == (2, 64, 9000)
    assert 0 <= shown["beat_age_s"] < 60
    assert shown["log"] == ["ready", "the token is •••"]
    assert "lines" not in shown["glimpse"]
    assert shown["glimpse"]["gpus"][0]["utilisation"] == 50
    assert [phase["name"] for phase in shown["phases"]] == ["runtime", "import", "load", "heard"]
    assert shown["history"]["tokens_per_s"] == [10.0] * 4
    assert shown["history"]["busy_share"] == [50.0] * 4
    assert (shown["may_drain"], shown["may_kill"]) == (True, True)


def test_where_there_is_no_gpu_and_no_heartbeat_nothing_is_made_up(worker: Worker, redis: Redis) -> None:
    Looks(redis).show({str(worker.pk): Glimpse(host="here", error="Docker engine is not reachable.")})
    shown = snapshot(worker, now=timezone.now())
    assert not {"beat_age_s", "running", "tokens_total"} & shown.keys()
    assert "gpus" not in shown["glimpse"]
    assert shown["glimpse"]["error"] == "Docker engine is not reachable."


def test_one_that_has_ended_shows_its_last_words_and_asks_nobody(worker: Worker, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1"
    records.change(worker, end_reason="Killed by ann.")
    records.end(worker, state="stopped", now=2e9, exit_code=-9, error="", log_tail="one\nhf_secret_word two")
    shown = snapshot(worker, now=timezone.now())
    assert (shown["state"], shown["ended_because"], shown["exit_code"]) == ("stopped", "Killed by ann.", -9)
    assert shown["log"] == ["one", "••• two"]
    assert (shown["may_drain"], shown["may_kill"], shown["turns"], shown["tokens_heard"]) == (False, False, [], 2400)


def test_without_redis_the_row_is_shown_and_the_rest_is_said_to_be_unknown(worker: Worker, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1"
    shown = snapshot(worker, now=timezone.now())
    assert shown["blind"].startswith("Redis does not answer")
    assert shown["state"] == "ready"


@pytest.mark.parametrize("of", ["", "no-uuid", "00000000-0000-0000-0000-000000000000"])
def test_there_is_no_such_worker(db: None, of: str) -> None:
    with pytest.raises(NotFound):
        TOPICS["worker"].read(Access(Role.VIEWER), of)


def test_gaps_and_sums_of_another_process_are_no_rates() -> None:
    words = [Word(0, 100, 5), Word(60, 700, 35), Word(600, 900, 40), Word(660, 10, 1), Word(720, 70, 90)]
    assert rates(words).tokens_per_s == [10.0, None, None, 1.0]
    assert rates(words).busy_share == [50.0, None, None, 100.0]
    assert rates([]).at == []


# -- what it costs -------------------------------------------------------------------------------
def test_it_costs_the_same_however_much_the_worker_holds(
    scene: Scene, worker: Worker, redis: Redis, django_assert_num_queries: Any, enter: Enter
) -> None:
    client, costs = enter(Role.VIEWER), set[int]()
    for more in (1, 39):
        held = len(hold(scene, worker, redis, more)) + (more > 1)
        with django_assert_num_queries(3):  # the row, the turns, the minutes
            shown = TOPICS["worker"].read(Access(Role.VIEWER), str(worker.pk))
        assert len(shown["turns"]) == held
        with CaptureQueriesContext(connection) as page:
            assert client.get(reverse("console:worker", args=[worker.pk])).status_code == 200
        costs.add(len(page))
    (cost,) = costs
    assert cost <= 9  # those three, the usual start; session, account, role and permissions


# -- who may what --------------------------------------------------------------------------------
def test_operators_and_viewers_see_it_others_do_not(scene: Scene, worker: Worker, enter: Enter) -> None:
    url = reverse("console:worker", args=[worker.pk])
    assert url == f"/console/workers/{worker.pk}/"
    operator, viewer = enter(Role.OPERATOR).get(url), enter(Role.VIEWER).get(url)
    assert (operator.status_code, viewer.status_code) == (200, 200)
    kill = reverse("console:worker_kill", args=[worker.pk])
    assert kill in operator.content.decode()
    assert kill not in viewer.content.decode()
    for page in (operator, viewer):
        assert "hf_secret_word" not in page.content.decode()
        assert "HF_TOKEN" in page.content.decode()
    assert enter(Role.TENANT_ADMINISTRATOR, scene.ann.tenant).get(url).status_code == 403
    assert Client().get(url).status_code == 302
    assert enter(Role.OPERATOR).get(reverse("console:worker", args=[uuid.uuid4()])).status_code == 404


@pytest.mark.parametrize("wish", ["drain", "kill"])
def test_only_an_operator_ends_a_worker_and_the_audit_log_has_it(
    scene: Scene, worker: Worker, enter: Enter, wish: str
) -> None:
    url = reverse(f"console:worker_{wish}", args=[worker.pk])
    for refused in (enter(Role.VIEWER), enter(Role.TENANT_ADMINISTRATOR, scene.ann.tenant)):
        assert (refused.get(url).status_code, refused.post(url).status_code) == (403, 403)
    operator = enter(Role.OPERATOR)
    asked = operator.get(url)
    assert asked.status_code == 200
    assert "If the pool&#x27;s policy wants as many workers as before" in asked.content.decode()
    worker.refresh_from_db()
    assert worker.wish == ""  # to look at the question does nothing
    answer = operator.post(url, follow=True)
    assert answer.redirect_chain == [(reverse("console:worker", args=[worker.pk]), 302)]
    assert "within a second" in answer.content.decode()
    worker.refresh_from_db()
    by = answer.wsgi_request.user.get_username()
    assert (worker.wish, worker.wished_by) == (wish, by)
    (entry,) = Entry.objects.filter(object_kind="orchestrator.worker", actor=by)  # and none for the change of its row
    assert entry.action == f"worker.{wish}"
    assert (entry.actor, entry.object_id, entry.after) == (by, str(worker.pk), {"state": "ready", "wish": wish})
    again = operator.post(url, follow=True)
    assert "already" in again.content.decode()
    assert Entry.objects.filter(action=f"worker.{wish}").count() == 1
    assert operator.get(url).status_code == 302


def test_a_form_without_its_token_changes_nothing(worker: Worker, enter: Enter) -> None:
    operator = enter(Role.OPERATOR)
    operator.handler.enforce_csrf_checks = True
    assert operator.post(reverse("console:worker_kill", args=[worker.pk])).status_code == 403
    worker.refresh_from_db()
    assert worker.wish == ""


def test_the_list_leads_to_the_page_and_to_both_questions(worker: Worker, admin_client: Client, enter: Enter) -> None:
    listed = admin_client.get(reverse("admin:orchestrator_worker_changelist")).content.decode()
    assert reverse("console:worker", args=[worker.pk]) in listed
    for wish in ("drain", "kill"):
        row_action = reverse(f"admin:orchestrator_worker_{wish}", args=[worker.pk])
        assert row_action in listed
        assert admin_client.get(row_action).url == reverse(f"console:worker_{wish}", args=[worker.pk])
        assert enter(Role.VIEWER).get(row_action).status_code == 403
