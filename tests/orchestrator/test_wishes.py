"""Staff drains and kills single workers: their turns end with their whole text elsewhere, and nobody is blamed for it."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from orchestrator import records, wishes
from orchestrator.loop import Orchestrator
from orchestrator.models import Pool, Worker
from orchestrator.revisions import note_edit
from taskqueue.sync_client import Queue
from tests.orchestrator.conftest import Site, wait_for

TOKENS = 250  # five seconds


def text_of(site: Site, pool: Pool, turn: str) -> str:
    log = site.queue(pool).read_log(turn.replace("turn", "task"), count=10_000)
    return "".join(json.loads(event.data) for event in log if event.kind == "text")


def reasons_of(site: Site, pool: Pool, turn: str) -> list[str]:
    log = site.queue(pool).read_log(turn.replace("turn", "task"), count=10_000)
    return [json.loads(event.data)["reason"] for event in log if event.kind == "attempt"]


@pytest.mark.parametrize(
    ("wish", "said", "exit_code", "reason"),
    [(wishes.drain, "Drained by ann.", 0, "handed_over"), (wishes.kill, "Killed by ann.", -9, "worker_lost")],
    ids=["drain", "kill"],
)
def test_a_turn_that_streams_goes_on_elsewhere_and_nobody_is_blamed(
    site: Site, running: Orchestrator, wish: Any, said: str, exit_code: int, reason: str
) -> None:
    """With `max_losses` 1 a turn that is alone on its worker ends as poison by its first loss."""
    pool = site.pool(max_losses=1, lease_s=5.0, policy={"min_workers": 1, "max_workers": 1})
    (victim,) = wait_for(lambda: site.ready(pool), what="a worker is ready")
    (turn,) = site.submit(pool, 1, tokens=TOKENS)
    wait_for(lambda: text_of(site, pool, turn), what="the turn streams")
    wish(victim.pk, by="ann", now=timezone.now())
    wait_for(lambda: not Worker.objects.filter(pk=victim.pk, state__in=Worker.LIVE).exists(), what="it has ended")
    assert str(victim.pk) not in site.pids()
    wait_for(lambda: turn in site.finished(pool), what="the turn has ended")
    record = site.finished(pool)[turn]
    assert (record.state, record.attempt, record.usage.completion_tokens) == ("succeeded", 2, TOKENS)
    assert record.text == text_of(site, pool, turn)
    assert reasons_of(site, pool, turn) == [reason]
    victim.refresh_from_db()
    assert (victim.state, victim.end_reason, victim.error) == ("stopped", said, "")
    assert victim.exit_code == exit_code
    assert not Worker.objects.filter(pool=pool, state="failed").exists()
    assert records.past_failures(pool).popitem()[1].failures == 0


def test_a_worker_that_starts_can_be_killed_and_the_next_start_need_not_wait(site: Site, running: Orchestrator) -> None:
    args = {"step_base_s": 0.02, "startup_s": 60}
    pool = site.pool(engine_args=args, policy={"min_workers": 1, "max_workers": 1})
    (victim,) = wait_for(lambda: [row for row in site.live(pool) if row.runtime_ref], what="a worker starts")
    wishes.kill(victim.pk, by="ann", now=timezone.now())
    wait_for(lambda: Worker.objects.filter(pool=pool).count() == 2, what="another one starts", timeout_s=20)
    wait_for(lambda: Worker.objects.filter(pk=victim.pk, state="stopped").exists(), what="it has ended")


# -- without processes ---------------------------------------------------------------------------
@pytest.fixture
def row(db: None) -> Worker:
    pool = Pool.objects.create(slug=f"p-{uuid.uuid4().hex[:8]}", name="p", engine=Pool.Engine.SIMULATED)
    revision = note_edit(pool.pk, now=timezone.now()).current
    return records.new_worker(pool, revision, reason="r", now=timezone.now().timestamp())


def test_what_ends_already_is_not_asked_again(row: Worker) -> None:
    now = timezone.now()
    wishes.drain(row.pk, by="ann", now=now)
    with pytest.raises(wishes.NotPossible, match="hands over already"):
        wishes.drain(row.pk, by="bob", now=now)
    wishes.kill(row.pk, by="bob", now=now)
    row.refresh_from_db()
    assert (row.wish, row.wished_by, row.wished_at) == ("kill", "bob", now)
    for again in (wishes.drain, wishes.kill):
        with pytest.raises(wishes.NotPossible, match=r"bob has had worker .* killed already"):
            again(row.pk, by="ann", now=now)
    records.change(row, state="stopped", stopped_at=now)
    with pytest.raises(wishes.NotPossible, match="has ended already"):
        wishes.kill(row.pk, by="ann", now=now)


def test_what_drains_by_its_policy_may_be_killed_only(row: Worker) -> None:
    records.change(row, state="draining", draining_at=timezone.now(), end_reason="Nothing waits.")
    with pytest.raises(wishes.NotPossible, match="hands over already"):
        wishes.drain(row.pk, by="ann", now=timezone.now())
    assert wishes.kill(row.pk, by="ann", now=timezone.now()).wish == "kill"


@pytest.mark.parametrize(
    "fields",
    [
        {"wish": "kill"},
        {"wish": "kill", "wished_at": timezone.now()},
        {"wish": "drain", "wished_by": "ann"},
        {"wish": "pause", "wished_by": "ann", "wished_at": timezone.now()},
        {"wished_by": "ann"},
    ],
)
def test_a_wish_is_somebodys_and_of_a_moment(row: Worker, fields: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="worker_wish_is_somebodys"), transaction.atomic():
        Worker.objects.filter(pk=row.pk).update(**fields)


def test_who_cannot_be_excused_is_not_killed_yet(
    site: Site, leading: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Redis does not answer, the mark cannot be set: the kill waits, however long, and the worker works on."""
    pool = site.pool(policy={"min_workers": 1, "max_workers": 1})

    def is_ready() -> bool:
        leading.tick()
        return bool(site.ready(pool))

    wait_for(is_ready, what="a worker is ready")
    (victim,) = site.ready(pool)
    wishes.kill(victim.pk, by="ann", now=timezone.now())
    leading._host.fleet.grace_s = 0.0
    with monkeypatch.context() as away:
        away.setattr("orchestrator.loop.Queue", lambda redis, slug: Queue("redis://127.0.0.1:1", slug))
        for _ in range(3):
            leading.tick()
        victim.refresh_from_db()
        assert (victim.state, victim.end_reason) == ("draining", "Killed by ann.")
        assert str(victim.pk) in site.pids()

    def has_ended() -> bool:
        leading.tick()
        return Worker.objects.filter(pk=victim.pk, state="stopped", exit_code=-9).exists()

    wait_for(has_ended, what="it is killed, and not drained")
