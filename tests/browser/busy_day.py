"""A service in the middle of a day, written by hand for pictures: pools with an hour behind them, and workers that only beat."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from benchmarks.heartbeats import beat
from billing.models import BilledHour
from console.overview import heartbeat
from orchestrator import records
from orchestrator.demand_rows import DemandMinute
from orchestrator.history.waits import lower_s
from orchestrator.leader import Leadership
from orchestrator.models import Pool, Rollout, ScalingPolicy, Worker
from orchestrator.policies.demand import Decision
from orchestrator.revisions import note_edit
from orchestrator.turn_rows import TurnMinute
from taskqueue.connections import connect
from taskqueue.messages import Submission, TurnBody
from taskqueue.outlook import Outlook
from taskqueue.sync_client import Queue, foretell

LEASE_S = 600.0


@dataclass(frozen=True)
class Scenery:
    """One pool: its workers, what waits and runs, its part of failed turns, what hinders it, and where in its waves it is."""

    slug: str
    model: str
    reason: str
    ready: int = 0
    starting: int = 0
    waiting: int = 0
    running: int = 0
    most: int = 8
    failing: float = 0.004
    wait_s: float = 0.2
    hinders: str = ""
    hindrance: str = ""
    paused: bool = False
    phase: float = 0.0


AT_MOST = "The work alone would need 4 workers; the maximum is 2."
FAILS = (
    "No start before 14:07:12 UTC: 3 workers in a row failed at the start or soon after; the last said: "
    "CUDA out of memory. Tried to allocate 2.50 GiB."
)
POOLS = (
    Scenery(
        slug="chat-70b",
        model="meta-llama/Llama-3.3-70B-Instruct",
        reason="41 tasks wait, and 9.2 turns/s come in: 8 workers are needed to keep 99% of the waits under 5.0 s.",
        ready=6,
        starting=2,
        waiting=41,
        running=92,
        wait_s=2.1,
        phase=0.4,
    ),
    Scenery(
        slug="chat-8b",
        model="meta-llama/Llama-3.1-8B-Instruct",
        reason="12.4 turns/s need 3 workers to keep 99% of the waits under 5.0 s.",
        ready=3,
        running=22,
        phase=2.2,
    ),
    Scenery(
        slug="code",
        model="Qwen/Qwen2.5-Coder-32B-Instruct",
        reason=AT_MOST,
        ready=2,
        waiting=18,
        running=32,
        most=2,
        failing=0.07,
        wait_s=9.0,
        hinders="room",
        hindrance="No GPU is free: 12 of 12 are held by pools chat-70b (8), chat-8b (3) and embeddings (1).",
        phase=1.1,
    ),
    Scenery(
        slug="embeddings",
        model="intfloat/multilingual-e5-large",
        reason="1 worker is enough for 30.1 turns/s.",
        ready=1,
        running=6,
        wait_s=0.03,
        phase=3.0,
    ),
    Scenery(
        slug="night-batch",
        model="Qwen/Qwen2.5-72B-Instruct",
        reason="No work for 300 s: the last worker goes.",
        hinders="paused",
        hindrance="The pool is paused.",
        paused=True,
        phase=4.0,
    ),
    Scenery(
        slug="vision",
        model="Qwen/Qwen2.5-VL-7B-Instruct",
        reason="5 tasks wait, no worker is there: one is started.",
        waiting=5,
        failing=0.0,
        hinders="starts_fail",
        hindrance=FAILS,
        phase=5.0,
    ),
)


@contextmanager
def busy_day(redis_url: str, *, stack: str) -> Iterator[None]:
    """All of it, led by this thread as long as the block lasts."""
    redis = connect(redis_url)
    beating: dict[str, list[str]] = {}
    for scenery in POOLS:
        pool = _pool(scenery)
        _bill(pool)
        workers = _workers(pool, scenery)
        beating[pool.slug] = [str(worker.pk) for worker in workers if worker.state == Worker.State.READY]
        _work(Queue(redis, pool.slug), scenery, beating[pool.slug])
        _hour(pool, scenery)
    foretell(redis, {scenery.slug: Outlook() for scenery in POOLS}, hold_s=LEASE_S)
    leadership, stop = Leadership(stack), threading.Event()
    assert leadership.campaign()
    thread = threading.Thread(target=_beat, args=(redis_url, beating, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        leadership.resign()
        for scenery in POOLS:
            redis.delete(*redis.keys(f"opsite:{{{scenery.slug}}}:*"))
        redis.close()


def _beat(redis_url: str, workers: dict[str, list[str]], stop: threading.Event) -> None:
    redis, beats = connect(redis_url), 0
    while not stop.is_set():
        beats += 1
        beat(redis, workers, beats=beats)
        stop.wait(0.5)
    redis.close()


def _pool(scenery: Scenery) -> Pool:
    pool = Pool.objects.create(
        slug=scenery.slug, name=scenery.slug, engine=Pool.Engine.VLLM, model=scenery.model, slots=16, gpus_per_worker=1,
        is_paused=scenery.paused,
    )  # fmt: skip
    ScalingPolicy.objects.create(pool=pool, kind="target_wait", max_workers=scenery.most)
    note_edit(pool.pk, now=timezone.now())
    at = time.time() - 60 - 500 * scenery.phase
    decision = Decision(scenery.ready + scenery.starting, scenery.reason, "hold")
    held = {scenery.hinders: scenery.hindrance} if scenery.hinders else {}
    records.keep_decision(pool, decision, inputs={}, current=scenery.ready, note="", refusals=held, now=at)
    return pool


def _workers(pool: Pool, scenery: Scenery) -> list[Worker]:
    current, now = Rollout.objects.get(pool=pool).current, timezone.now()
    return Worker.objects.bulk_create(
        Worker(
            pool=pool, revision=current, runtime="docker", slots=16, gpus=[f"GPU-{scenery.slug}-{number}"],
            state="ready" if number < scenery.ready else "starting", started_at=now - timedelta(minutes=40),
            ready_at=now - timedelta(minutes=39) if number < scenery.ready else None,
        )
        for number in range(scenery.ready + scenery.starting)
    )  # fmt: skip


def _bill(pool: Pool) -> None:
    """Celery was there a minute ago, and need not come again soon."""
    now = timezone.now()
    heartbeat.beat(now.timestamp() - 60, within_s=86400)
    BilledHour.objects.create(
        pool=pool, hour=now.replace(minute=0, second=0, microsecond=0), wall_ms=0, starting_ms=0, busy_ms=0, idle_ms=0,
        unknown_ms=0, prompt_weight=0, billed_at=now - timedelta(minutes=1),
    )  # fmt: skip


def _work(queue: Queue, scenery: Scenery, workers: list[str]) -> None:
    """Turns that run, shared out evenly, and turns that wait."""
    names = [f"{scenery.slug}-{number}" for number in range(scenery.running + scenery.waiting)]
    queue.enqueue([Submission(turn=name, task=name, tenant="acme", body=TurnBody(prompt="hello")) for name in names])
    left = scenery.running
    for number, worker in enumerate(workers):
        share = left // (len(workers) - number)
        left -= len(queue.claim(worker, share, lease_s=LEASE_S))
    queue.acknowledge(queue.read_records(count=1000))


def _hour(pool: Pool, scenery: Scenery) -> None:
    """Demand in waves, the fleet a little behind it, and some minutes of which nobody knows."""
    minute = timezone.now().replace(second=0, microsecond=0)
    bucket = next(bucket for bucket in range(90) if lower_s(bucket + 1) > scenery.wait_s / 2)
    for ago in range(60):
        at = minute - timedelta(minutes=ago)
        level, followed = _level(scenery, ago), _level(scenery, ago + 3)
        most = max(scenery.ready, 2)
        ended = round(40 * level * most) if scenery.running else 0
        TurnMinute.objects.create(
            pool=pool,
            minute=at,
            claimed=ended,
            tasks_begun=round(ended * 0.8),
            waits=[0] * bucket + [ended, ended // 2, ended // 8, ended // 16],
            longest_wait_ms=round(scenery.wait_s * 1500),
            ended=ended,
            failed=round(ended * scenery.failing),
        )
        if ago and not 33 <= ago <= 36:
            DemandMinute.objects.create(
                pool=pool,
                minute=at,
                arrived=ended,
                arrived_tokens=0,
                most_waiting=round(5 * level * most),
                arrived_after=0,
                tokens_after=0,
                running=round(14 * level * most),
                ready=math.ceil(most * followed),
            )


def _level(scenery: Scenery, ago: int) -> float:
    """From 0 to 1: waves where something runs, else a load that has ended."""
    if scenery.running:
        return 0.55 + 0.45 * math.sin(ago / 8 + scenery.phase)
    return max(0.0, min(1.0, (ago - 25) / 6)) if scenery.paused else 0.0
