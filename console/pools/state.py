"""The topic `pool`: what one pool is now, in a fixed number of reads whatever its size."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import datetime
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.timezone import localtime

from console.frame import NotFound
from console.pools.words import WORDS, in_line, spent
from orchestrator import hours, records, stock_rows, typical
from orchestrator.models import Pool, Rollout, Worker
from orchestrator.refusals import OF_ROLLOUT
from orchestrator.signals.phases import DOING
from staff.access import Access
from taskqueue.connections import connect
from taskqueue.failures import QueueUnavailable
from taskqueue.messages import PoolSignals, WorkerStatus
from taskqueue.pools import Pools
from taskqueue.standing import Line, Standing
from taskqueue.sync_client import standing
from tenants.models import Tenant

TENANTS_SHOWN = 10
WORKERS_SHOWN = 200
SHOWN_OTHERWISE = OF_ROLLOUT | {"paused", "manual"}


def found(slug: str) -> Pool:
    """The pool with all that stands about it in one row each. Raises `NotFound`."""
    joined = Pool.objects.select_related("policy", "manual_size", "rollout__current", "rollout__target")
    pool = joined.filter(slug=slug).first()
    if pool is None:
        raise NotFound(f"There is no pool {slug!r}.")
    return pool


def read(access: Access, of: str) -> dict[str, Any]:
    """The topic's snapshot as plain values; `of` is the pool's slug. Raises `NotFound`."""
    return snapshot(found(of), now=time.time())


def snapshot(pool: Pool, *, now: float) -> dict[str, Any]:
    """The state at this moment (Unix s)."""
    live = list(
        Worker.objects.filter(pool=pool, state__in=Worker.LIVE)
        .select_related("revision")
        .defer("log_tail", "revision__env", "revision__engine_args", "revision__mounts")
        .order_by("started_at")
    )
    last = pool.decisions.order_by("-at", "-pk").values("pk", "at", "desired", "signals__refusals").first()
    refusals: dict[str, str] = (last and last["signals__refusals"]) or {}
    ready = [worker for worker in live if worker.state == Worker.State.READY]
    spent_h = hours.of_today(pool, live, now=now)
    return {
        "at": now,
        "decision": last and str(last["pk"]),
        "desired": last and last["desired"],
        "ready": len(ready),
        "starting": sum(worker.state == Worker.State.STARTING for worker in live),
        "draining": sum(worker.state == Worker.State.DRAINING for worker in live),
        "slots": sum(worker.slots for worker in ready),
        "notices": _notices(pool, refusals, at=last and localtime(last["at"]), now=now),
        "may": _may(pool, now=now),
        "rollout": _rollout(pool),
        "start": typical.of_pool(pool) or "No start was measured on this runtime yet.",
        "stock": stock_rows.of_pools([pool], all_of_it=True)[pool.pk]
        or "Nothing has to be brought here for its workers.",
        "hours": spent(spent_h, budget_h=records.hours_per_day(pool), has_gpus=pool.gpus_per_worker > 0),
        **_queue(pool, live, now=now),
    }


def _notices(pool: Pool, refusals: dict[str, str], *, at: datetime | None, now: float) -> list[str]:
    """What keeps the fleet from being what the work alone would make it; what staff said first.

    `at`: when these refusals were said; the work that they tell of is that moment's.
    """
    said = ["Scaling is paused: the fleet is left as it is."] if pool.is_paused else []
    override = records.override_of(pool, now=now)
    said += [str(override)] if override is not None else []
    return said + [
        f"At {at:%H:%M:%S}: {sentence}" for kind, sentence in refusals.items() if kind not in SHOWN_OTHERWISE
    ]


def _may(pool: Pool, *, now: float) -> list[str]:
    """What can be said to it as it is: names of actions."""
    override = records.override_of(pool, now=now)
    drained = override is not None and override.until is None
    names = ["resume"] if pool.is_paused or drained else ["pause"]
    names += [] if pool.is_paused else ["size"]
    names += ["end_size"] if override is not None and not drained else []
    names += [] if drained and not pool.is_paused else ["drain"]
    rollout: Rollout | None = getattr(pool, "rollout", None)
    names += WORDS.get(rollout.state, ()) if rollout else ()
    return names + (["roll"] if not pool.is_paused and (rollout is None or rollout.target is None) else [])


def _rollout(pool: Pool) -> str:
    rollout: Rollout | None = getattr(pool, "rollout", None)
    if rollout is None:
        return "No revision yet: an orchestrator makes the first."
    if rollout.target is None:
        return f"Revision {rollout.current.number} is used."
    return f"Revision {rollout.target.number}: {rollout.get_state_display()}. {rollout.reason}"


def _queue(pool: Pool, live: list[Worker], *, now: float) -> dict[str, Any]:
    """What Redis says; where it says nothing, the rows alone, and why."""
    try:
        with closing(connect(settings.REDIS_URL)) as redis:
            (signals,) = Pools(redis).read([pool.slug]).values()
            if isinstance(signals, Exception):
                raise signals
            stands = standing(redis, pool.slug, most=TENANTS_SHOWN)
    except QueueUnavailable:
        return {"error": "Redis does not answer: demand is unknown.", **_workers(live, {}, now_ms=0)}
    except Exception as error:
        return {"error": f"Its demand cannot be read: {error}", **_workers(live, {}, now_ms=0)}
    return {
        "waiting": signals.waiting,
        "held_back": signals.held_back,
        "running": signals.running,
        "oldest_wait_s": round(signals.oldest_wait_s, 1),
        "tokens_total": sum(worker.tokens_total for worker in signals.workers),
        "line": in_line(stands.outlook, stands.pace, now_ms=signals.now_ms),
        "tenants": _tenants(stands, signals),
        **_workers(live, {one.worker: one for one in signals.workers}, now_ms=signals.now_ms),
    }


def _workers(live: list[Worker], statuses: dict[str, WorkerStatus], *, now_ms: int) -> dict[str, Any]:
    rows = [_worker(worker, statuses.get(str(worker.pk)), now_ms=now_ms) for worker in live[:WORKERS_SHOWN]]
    return {"workers": rows, "more_workers": max(0, len(live) - WORKERS_SHOWN)}


def _worker(worker: Worker, status: WorkerStatus | None, *, now_ms: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": str(worker.pk),
        "url": f"{reverse('admin:index')}workers/{worker.pk}/",
        "state": worker.state,
        "revision": f"r{worker.revision.number}",
        "slots": worker.slots,
        "gpus": worker.gpus,
        "since": (worker.draining_at or worker.ready_at or worker.started_at).timestamp(),
    }
    if status is None:
        return row
    doing = DOING.get(status.start_phase or "", "") if worker.state == Worker.State.STARTING else ""
    beat_s = max(0.0, (now_ms - status.beat_ms) / 1000)
    return {
        **row,
        "running": status.running,
        "tokens_total": status.tokens_total,
        "beat_s": round(beat_s, 1),
        "doing": doing,
    }


def _tenants(stands: Standing, signals: PoolSignals) -> list[dict[str, Any]]:
    tenants = {str(one.pk): one for one in Tenant.objects.filter(pk__in=[line.tenant for line in stands.lines])}
    return [_tenant(line, tenants.get(line.tenant), signals) for line in stands.lines]


def _tenant(line: Line, tenant: Tenant | None, signals: PoolSignals) -> dict[str, Any]:
    return {
        "name": tenant.slug if tenant else line.tenant,
        "waiting": line.waiting,
        "running": line.running,
        "share": round(100 * line.running / signals.running) if signals.running else 0,
        "weight": tenant.weight if tenant else None,
    }
