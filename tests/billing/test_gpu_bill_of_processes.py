"""Real workers, killed and drained on the way: what the bill charges is what their rows say, to the millisecond."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import Sum
from django.utils import timezone
from redis import Redis

from agents.models import Task, Turn
from agents.services import create_agent
from agents.submissions import body_of, submission
from billing import gpu_bill
from billing.models import BilledHour, GpuHour
from orchestrator.models import ScalingPolicy, Worker
from orchestrator.work_rows import WorkMinute
from taskqueue import keys
from taskqueue.messages import Work
from taskqueue.sync_client import Queue
from tenants.models import Tenant
from tenants.services import create_tenant
from tests.orchestrator.conftest import Site, site, wait_for
from tests.processes import start_process

__all__ = ["site"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(170)]


@pytest.fixture
def recorder(site: Site) -> Iterator[None]:
    """A real recorder process."""
    process = start_process("manage.py", "record", env=site.env)
    yield
    process.kill()
    process.wait()


def submit(site: Site, tenant: Tenant, pool: Any, count: int, *, tokens: int) -> None:
    """Tasks as they lie in Postgres and in the queue."""
    agent = create_agent(tenant=tenant, slug=f"a{tokens}", name="A", pool=pool)
    for _ in range(count):
        task = Task.objects.create(
            tenant=tenant, agent=agent, revision=agent.current_revision, pool=pool,
            input=[{"role": "user", "content": "hello"}], params={"max_tokens": tokens, "ignore_eos": True},
        )  # fmt: skip
        turn = Turn.objects.create(tenant=tenant, task=task, queued_at=timezone.now())
        message = submission(
            turn=str(turn.pk),
            task=str(task.pk),
            tenant=str(tenant.pk),
            body=body_of(task.input, task.params),
            weight=1.0,
        )
        site.queue(pool).enqueue([message])


def all_ended() -> bool:
    return not Task.objects.across_tenants().filter(finished_at__isnull=True).exists()


def wall_ms(workers: list[Worker]) -> int:
    """What the rows say, by the clock on the wall."""
    return sum(
        gpu_bill.ms(worker.stopped_at) - gpu_bill.ms(worker.started_at) for worker in workers if worker.stopped_at
    )


def last_words(queue: Queue, *, since_ms: int, but: str) -> dict[str, Work]:
    """What the ready workers said of their work since a moment; empty until each but that one has spoken."""
    said = [one for one in queue.signals().workers if one.phase == "ready" and one.worker != but]
    return {one.worker: one.work for one in said} if all(one.beat_ms > since_ms for one in said) else {}


def hear(redis: Redis, pool: Any) -> None:
    """Wait until the leader has heard what is in Redis now: each tick hears, then foretells, so the second one from now has."""
    for _ in range(2):
        redis.delete(keys.outlook(pool.slug))
        wait_for(lambda: redis.exists(keys.outlook(pool.slug)), what="a tick of the leader's")


def is_written(said: dict[str, Work]) -> bool:
    """Whether these last words are in Postgres."""
    rows = {(str(row.worker_id), row.busy_ms) for row in WorkMinute.objects.all()}
    return rows >= {(worker, round(work.steps_s * 1000)) for worker, work in said.items()}


def test_the_bill_of_killed_and_drained_workers_is_their_time(site: Site, recorder: None, redis: Redis) -> None:
    ann, bob = (create_tenant(slug=name, name=name) for name in ("ann", "bob"))
    pool = site.pool(policy={"min_workers": 2, "max_workers": 3, "idle_to_zero_s": 600.0}, lease_s=1.0)
    orchestrators = [site.orchestrator("a")]
    wait_for(lambda: len(site.ready(pool)) >= 2, what="two workers are ready")
    submit(site, ann, pool, 12, tokens=60)
    submit(site, bob, pool, 4, tokens=30)
    wait_for(lambda: Turn.objects.across_tenants().filter(state="running").count() >= 4, what="they work")
    victim, pid = next(iter(site.pids().items()))
    os.kill(pid, signal.SIGKILL)
    orchestrators[0].kill()  # and with it whatever its leader had not written
    site.orchestrator("b")
    wait_for(all_ended, what="every task has ended")
    queue, ended_ms = site.queue(pool), round(time.time() * 1000)
    said = wait_for(lambda: last_words(queue, since_ms=ended_ms, but=victim), what="who lives tells of its work")
    hear(redis, pool)
    ScalingPolicy.objects.filter(pool=pool).update(min_workers=0, max_workers=0, idle_to_zero_s=0.0)
    wait_for(lambda: not site.live(pool), what="the fleet is gone")
    wait_for(lambda: is_written(said), what="what they did is written")  # a tick after they are seen to be gone

    workers = list(Worker.objects.filter(pool=pool))
    assert str(victim) in {str(worker.pk) for worker in workers}
    assert gpu_bill.make(now=timezone.now() + timedelta(hours=2)) >= 1
    charged = GpuHour.objects.across_tenants()
    assert charged.aggregate(all=Sum("gpu_ms"))["all"] == wall_ms(workers)
    for worker in workers:
        assert charged.filter(worker=worker.pk).aggregate(all=Sum("gpu_ms"))["all"] == wall_ms([worker])
    hours = BilledHour.objects.all()
    assert sum(hour.wall_ms for hour in hours) == wall_ms(workers)
    assert all(hour.is_final for hour in hours)
    busy = {
        tenant: charged.filter(tenant=tenant, kind="busy").aggregate(all=Sum("gpu_ms"))["all"] for tenant in (ann, bob)
    }
    assert busy[ann] > busy[bob] > 0
    assert not charged.filter(tenant__isnull=True, hour=hours.order_by("-busy_ms")[0].hour).exists()
