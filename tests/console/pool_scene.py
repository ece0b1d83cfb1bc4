"""A pool with a past, for the tests of its page."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from console.pools.forms import FIELDS, version_of
from orchestrator import records
from orchestrator.history.book import insert
from orchestrator.history.minutes import Minute
from orchestrator.models import Pool, ScalingDecision, ScalingPolicy, Worker
from orchestrator.policies.demand import Demand, History, Policy, Signals
from orchestrator.replay import Inputs, decided, to_json
from orchestrator.revisions import note_edit
from taskqueue.sync_client import Queue

ANOTHER = Policy(max_workers=4)


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


def decide(
    pool: Pool,
    at: float,
    *,
    current: int = 0,
    waiting: int = 9,
    turn_s: float | None = 0.5,
    policy: Policy = ANOTHER,
    hindrances: tuple[str, ...] = (),
) -> ScalingDecision:
    signals = Signals(
        slots=4, ready=current, demand=Demand(at=at, waiting=waiting, running=0), turn_s=turn_s, start_s=20.0
    )
    made_from = Inputs(policy=policy, signals=signals, history=History(), now=at, hindrances=hindrances)
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


def worker(pool: Pool, begun_at: float, ended_at: float | None = None, *, started_s: float = 20.0) -> Worker:
    return Worker.objects.create(
        pool=pool,
        revision=pool.revisions.get(),
        runtime="process",
        slots=4,
        state="ready" if ended_at is None else "stopped",
        started_at=records.moment(begun_at - started_s),
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


def fields_of(pool: Pool, **changes: Any) -> dict[str, Any]:
    """What the form would send."""
    policy = ScalingPolicy.objects.get(pool=pool)
    shown = {name: getattr(policy, name) for name in FIELDS}
    shown = {name: "" if value is None else value for name, value in shown.items()}
    return {**shown, "schedule": "[]", "seen": version_of(policy), **changes}
