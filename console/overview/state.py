"""What the overview shows: demand and fleet of all pools in few reads, and the last decisions with their reasons."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from django.conf import settings
from django.db.models import Count, OuterRef, Prefetch, QuerySet, Subquery

from orchestrator import stock_rows, typical
from orchestrator.models import Pool, Rollout, ScalingDecision, Worker
from orchestrator.refusals import OF_ROLLOUT
from staff.access import Access
from taskqueue.connections import connect
from taskqueue.failures import QueueUnavailable
from taskqueue.messages import PoolSignals
from taskqueue.pools import Pools

DECISIONS_SHOWN = 8
SHOWN_OTHERWISE = OF_ROLLOUT | {"paused"}


def read(access: Access, of: str) -> dict[str, Any]:
    """The topic `overview`; there is one for all."""
    return snapshot()


def snapshot() -> dict[str, Any]:
    """The state of the service as plain values, ready for JSON."""
    live = Worker.objects.filter(state__in=Worker.LIVE)
    last = ScalingDecision.objects.filter(pool=OuterRef("pk")).order_by("-at", "-pk")
    pools = list(
        Pool.objects.select_related("policy", "rollout__current", "rollout__target")
        .prefetch_related(Prefetch("workers", queryset=live, to_attr="live"))
        .annotate(refusals=Subquery(last.values("signals__refusals")[:1]))
    )
    starts, stock = typical.of_pools(pools), stock_rows.of_pools(pools)
    failures = dict(
        Worker.objects.filter(state=Worker.State.FAILED).order_by().values_list("pool_id").annotate(count=Count("id"))
    )
    demand = _demand([pool.slug for pool in pools])
    return {
        "pools": [
            {
                **_pool(pool, failures.get(pool.pk, 0), demand[pool.slug]),
                "start": starts[pool.pk],
                "stock": stock[pool.pk],
            }
            for pool in pools
        ],
        "decisions": [_decision(decision) for decision in last_decisions()],
    }


def last_decisions() -> QuerySet[ScalingDecision]:
    """The newest decisions of all pools."""
    return ScalingDecision.objects.select_related("pool")[:DECISIONS_SHOWN]


def _pool(pool: Pool, failed: int, signals: PoolSignals | Exception) -> dict[str, Any]:
    workers: list[Worker] = getattr(pool, "live", [])
    row: dict[str, Any] = {
        "slug": pool.slug,
        "engine": pool.engine,
        "paused": pool.is_paused,
        "rollout": _rollout(pool),
        "refusals": _refusals(pool),
        "workers": {state: sum(worker.state == state for worker in workers) for state in Worker.LIVE},
        "failed": failed,
        "slots": sum(worker.slots for worker in workers if worker.state == Worker.State.READY),
    }
    if isinstance(signals, QueueUnavailable):
        return {**row, "error": "Redis does not answer: demand is unknown."}
    if isinstance(signals, Exception):
        return {**row, "error": f"Its demand cannot be read: {signals}"}
    return {
        **row,
        "waiting": signals.waiting,
        "running": signals.running,
        "oldest_wait_s": round(signals.oldest_wait_s, 1),
        "tokens_total": sum(worker.tokens_total for worker in signals.workers),
    }


def _rollout(pool: Pool) -> str:
    """A roll-out that is under way, waits or has ended badly; else empty."""
    rollout: Rollout | None = getattr(pool, "rollout", None)
    if rollout is None or rollout.target is None:
        return ""
    return f"Revision {rollout.target.number}: {rollout.get_state_display()}. {rollout.reason}"


def _refusals(pool: Pool) -> list[str]:
    """What else keeps its fleet from changing, as the decision that was kept last has it."""
    known: dict[str, str] = getattr(pool, "refusals", None) or {}
    return [sentence for kind, sentence in known.items() if kind not in SHOWN_OTHERWISE]


def _demand(pools: list[str]) -> dict[str, PoolSignals | Exception]:
    with closing(connect(settings.REDIS_URL)) as redis:
        return Pools(redis).read(pools)


def _decision(decision: ScalingDecision) -> dict[str, Any]:
    return {
        "pool": decision.pool.slug,
        "at": decision.at.isoformat(timespec="seconds"),
        "current": decision.current,
        "desired": decision.desired,
        "reason": decision.reason,
    }
