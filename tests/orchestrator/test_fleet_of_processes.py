"""The loop with real worker processes: it grows, drains, replaces, shows what is wrong, and survives its own death."""

from __future__ import annotations

import os
import signal
import time

import pytest

from orchestrator.models import Pool, ScalingDecision, Worker
from tests.orchestrator.conftest import LEADS, Site, wait_for


def test_the_queue_grows_and_so_does_the_fleet_until_both_are_empty(site: Site, running: object) -> None:
    pool = site.pool()
    turns = site.submit(pool, 24)
    wait_for(lambda: len(site.ready(pool)) == 3, what="three workers are ready")
    wait_for(lambda: len(site.finished(pool)) == 24, what="all turns have ended")
    finished = site.finished(pool)
    assert set(finished) == set(turns)
    assert {record.state for record in finished.values()} == {"succeeded"}
    assert {record.usage.completion_tokens for record in finished.values()} == {20}
    wait_for(lambda: not site.live(pool), what="the fleet is at zero")
    assert not site.pids()

    workers = list(Worker.objects.filter(pool=pool))
    assert {worker.state for worker in workers} == {"stopped"}
    assert {worker.exit_code for worker in workers} == {0}
    assert all(worker.ready_at and worker.draining_at and worker.stopped_at for worker in workers)
    decisions = list(ScalingDecision.objects.filter(pool=pool).order_by("at"))
    assert decisions[0].current == 0
    assert max(decision.desired for decision in decisions) == 3  # a first tick may have seen half of the queue
    assert f"{decisions[0].signals['waiting']} waiting" in decisions[0].reason
    assert decisions[-1].desired == 0
    assert {worker.reason for worker in workers} <= {decision.reason for decision in decisions}


def test_a_drained_worker_hands_over_its_long_answers(site: Site, running: object) -> None:
    pool = site.pool(policy={"min_workers": 2, "max_workers": 2, "waiting_per_worker": 1})
    wait_for(lambda: len(site.ready(pool)) == 2, what="two workers are ready")
    turns = site.submit(pool, 4, tokens=400)  # eight seconds
    wait_for(lambda: site.queue(pool).signals().running == 4, what="all turns run")
    pool.policy.min_workers = pool.policy.max_workers = 1
    pool.policy.save()
    begun = time.monotonic()
    wait_for(lambda: Worker.objects.filter(pool=pool, state="stopped").count() == 1, what="one worker is gone")
    assert time.monotonic() - begun < 6
    wait_for(lambda: len(site.finished(pool)) == 4, what="all turns have ended")
    finished = site.finished(pool)
    assert set(finished) == set(turns)
    assert {(record.state, record.usage.completion_tokens) for record in finished.values()} == {("succeeded", 400)}


@pytest.mark.parametrize(
    ("speed", "prompt"),
    [({"step_base_s": 0.02}, "hello"), ({"prefill_tokens_per_s": 1}, "hello " * 60)],
    ids=["speaking", "silent"],
)
def test_who_is_past_the_deadline_or_cancelled_frees_its_slot_within_a_second(
    site: Site, running: object, speed: dict[str, float], prompt: str
) -> None:
    policy = {"min_workers": 1, "max_workers": 1}
    pool = site.pool(lease_s=5.0, slots=2, engine_args=speed, policy=policy)
    wait_for(lambda: site.ready(pool), what="a worker is ready")
    deadline_ms = site.queue(pool).signals().now_ms + 2500
    site.submit(pool, 3, tokens=100_000, deadline_ms=deadline_ms, prompt=prompt)  # two run, one waits
    wait_for(lambda: site.queue(pool).signals().running == 2, what="two turns run")
    wait_for(lambda: len(site.finished(pool)) == 3, what="all three have ended")
    late = [record.at_ms - deadline_ms for record in site.finished(pool).values()]
    assert {record.state for record in site.finished(pool).values()} == {"expired"}
    assert min(late) >= 0
    assert max(late) < 1000

    turns = site.submit(pool, 2, tokens=100_000, prompt=prompt)
    wait_for(lambda: site.queue(pool).signals().running == 2, what="two more run")
    asked_ms = site.queue(pool).signals().now_ms
    assert site.queue(pool).cancel(turns) == ["stopping", "stopping"]
    wait_for(lambda: set(turns) <= site.finished(pool).keys(), what="both have ended")
    assert all(site.finished(pool)[turn].state == "cancelled" for turn in turns)
    assert max(site.finished(pool)[turn].at_ms for turn in turns) - asked_ms < 1000
    assert site.queue(pool).signals().running == 0


def test_a_killed_worker_is_replaced_and_its_task_ends(site: Site, running: object) -> None:
    pool = site.pool(lease_s=1.0, policy={"max_workers": 1})
    (turn,) = site.submit(pool, 1, tokens=200)
    (victim,) = wait_for(lambda: site.ready(pool), what="a worker is ready")
    wait_for(lambda: site.queue(pool).signals().running == 1, what="the turn runs")
    os.kill(site.pids()[str(victim.pk)], signal.SIGKILL)
    wait_for(lambda: turn in site.finished(pool), what="the turn has ended")
    record = site.finished(pool)[turn]
    assert (record.state, record.attempt, record.usage.completion_tokens) == ("succeeded", 2, 200)
    victim.refresh_from_db()
    assert (victim.state, victim.exit_code) == ("failed", -9)
    assert "signal 9" in victim.error


def test_a_silent_worker_is_killed_and_replaced(site: Site, running: object) -> None:
    pool = site.pool(lease_s=0.5, policy={"max_workers": 1})
    (turn,) = site.submit(pool, 1, tokens=150)
    (victim,) = wait_for(lambda: site.ready(pool), what="a worker is ready")
    wait_for(lambda: site.queue(pool).signals().running == 1, what="the turn runs")
    os.kill(site.pids()[str(victim.pk)], signal.SIGSTOP)
    wait_for(lambda: turn in site.finished(pool), what="the turn has ended")
    assert site.finished(pool)[turn].state == "succeeded"
    victim.refresh_from_db()
    assert victim.state == "failed"
    assert victim.error == "Its process lives, but it gave no sign of life for 1.5 s."
    wait_for(lambda: str(victim.pk) not in site.pids(), what="its process is gone")


def test_a_bad_model_is_shown_with_its_line_and_backs_off(site: Site, running: object) -> None:
    pool = site.pool(engine=Pool.Engine.SIMULATED, engine_args={"step_base_s": "a while"})
    site.submit(pool, 24)
    failed = wait_for(
        lambda: list(Worker.objects.filter(pool=pool, state="failed")), what="workers have failed", timeout_s=30
    )
    assert failed[0].exit_code == 78
    assert failed[0].error.startswith("OPSITE_ENGINE_ARGS")
    assert "opsite-worker: error:" in failed[0].log_tail
    held = wait_for(
        lambda: [reason for reason in site.reasons(pool) if "No start before" in reason], what="the backoff is said"
    )
    assert "OPSITE_ENGINE_ARGS" in held[-1]
    wait_for(lambda: not site.live(pool), what="all of them have failed")
    starts = Worker.objects.filter(pool=pool).count()
    begun = time.monotonic()
    wait_for(lambda: Worker.objects.filter(pool=pool).count() > starts, what="it tries again", timeout_s=60)
    assert time.monotonic() - begun > 2
    wait_for(lambda: not site.live(pool), what="that one has failed, too")
    assert Worker.objects.filter(pool=pool).count() == starts + 1 <= 4
    # Corrected, it starts at once: old failures say nothing about new settings.
    pool.engine_args = {"step_base_s": 0.01}
    pool.save()
    wait_for(lambda: len(site.finished(pool)) == 24, what="all turns have ended", timeout_s=30)


def test_workers_of_a_deleted_pool_end(site: Site, running: object) -> None:
    pool = site.pool(policy={"min_workers": 1})
    wait_for(lambda: site.ready(pool), what="a worker is ready")
    pool.delete()
    wait_for(lambda: not site.pids(), what="its process is gone")


def test_a_paused_pool_is_left_as_it_is_but_its_queue_is_tended(site: Site, running: object) -> None:
    pool = site.pool(is_paused=True, max_losses=1)
    (turn,) = site.submit(pool, 1)
    queue = site.queue(pool)
    assert [claimed.turn for claimed in queue.claim("a worker that dies", 1, lease_s=0.2)] == [turn]
    wait_for(lambda: turn in site.finished(pool), what="the lapsed lease is reaped")
    assert site.finished(pool)[turn].state == "failed"
    # Leases are looked after between ticks: a tick may come later.
    wait_for(lambda: any("paused" in reason for reason in site.reasons(pool)), what="a tick says that it is paused")
    assert not Worker.objects.filter(pool=pool).exists()


def test_a_pool_without_its_runtime_says_so_and_stops_no_other(site: Site) -> None:
    site.env["DOCKER_HOST"] = "unix:///nowhere/docker.sock"
    without, other = site.pool(runtime=Pool.Runtime.DOCKER), site.pool()
    site.submit(without, 1)
    site.submit(other, 1)
    site.orchestrator()
    wait_for(lambda: len(site.finished(other)) == 1, what="the other pool serves")
    wait_for(lambda: site.reasons(without), what="the reason is kept")
    assert "Docker engine is not reachable at unix:///nowhere/docker.sock" in site.reasons(without)[0]
    assert "set the pool's runtime to process" in site.reasons(without)[0]


def test_the_orchestrator_is_killed_and_the_next_one_adopts_its_workers(site: Site) -> None:
    pool = site.pool(policy={"max_workers": 3, "down_cooldown_s": 2, "idle_to_zero_s": 4})
    first = site.orchestrator()
    turns = site.submit(pool, 24, tokens=150)
    wait_for(lambda: len(site.ready(pool)) == 3, what="three workers are ready")
    before = site.pids()
    first.send_signal(signal.SIGKILL)
    first.wait()
    more = site.submit(pool, 4)
    second = site.orchestrator("b")
    wait_for(lambda: LEADS in site.log("b"), what="the second leads")
    wait_for(lambda: len(site.finished(pool)) == 28, what="all turns have ended")
    assert set(site.finished(pool)) == {*turns, *more}
    assert Worker.objects.filter(pool=pool).count() == 3  # adopted, not doubled
    assert set(before) == {str(pk) for pk in Worker.objects.filter(pool=pool).values_list("pk", flat=True)}
    wait_for(lambda: not site.live(pool), what="the adopted ones are drained")
    assert set(Worker.objects.filter(pool=pool).values_list("state", flat=True)) == {"stopped"}
    assert not site.pids()
    second.send_signal(signal.SIGTERM)
    assert second.wait(20) == 0


def test_a_standby_takes_over_within_seconds_and_sigterm_leaves_workers_running(site: Site) -> None:
    pool = site.pool(policy={"min_workers": 1, "max_workers": 1})
    first = site.orchestrator("a")
    wait_for(lambda: LEADS in site.log("a"), what="the first leads")
    standby = site.orchestrator("b")
    wait_for(lambda: "stands by" in site.log("b"), what="the second stands by")
    wait_for(lambda: site.ready(pool), what="a worker is ready")
    before = site.pids()
    first.send_signal(signal.SIGKILL)
    begun = time.monotonic()
    wait_for(lambda: LEADS in site.log("b"), what="the second leads", timeout_s=10)
    assert time.monotonic() - begun < 5
    standby.send_signal(signal.SIGTERM)
    assert standby.wait(20) == 0
    assert site.pids() == before
    assert [str(worker.pk) for worker in site.ready(pool)] == list(before)
