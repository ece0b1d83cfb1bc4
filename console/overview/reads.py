"""What the overview reads from Postgres and Redis at each snapshot: a fixed number of queries, whatever there is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import OuterRef, Subquery

from console.overview.facts import Hindrance
from orchestrator.demand_rows import DemandMinute
from orchestrator.leader import lock_number
from orchestrator.models import Pool, ScalingDecision, Worker
from orchestrator.turn_rows import TurnMinute
from taskqueue.connections import connect
from taskqueue.messages import PoolSignals
from taskqueue.pools import Pools

HINDERED_AT_MOST = 50
"""Of so many pools it is looked up since when they are hindered."""
LOOKED_BACK = 20
"""Decisions of a pool that are looked through for that."""

OF_POOLS = (
    "slug", "engine", "model", "is_paused", "policy__wait_bound_s", "rollout__state", "rollout__reason", "rollout__since",
    "rollout__target__number",
)  # fmt: skip

_LEADS = """
    SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND classid::bigint = %s AND objid::bigint = %s)
"""
_REFUSED = f"""
    SELECT p.id, extract(epoch FROM d.at)::float, d.refusals FROM unnest(%s::uuid[]) AS p(id) CROSS JOIN LATERAL (
        SELECT at, ARRAY(SELECT jsonb_object_keys(signals->'refusals')) AS refusals FROM orchestrator_scalingdecision
        WHERE pool_id = p.id ORDER BY at DESC, id DESC LIMIT {LOOKED_BACK}
    ) d
"""


class Failures(NamedTuple):
    """Workers of a pool that failed lately: how many, and the last one's moment (Unix s) and error."""

    workers: int
    at: float
    error: str


def pools() -> list[Pool]:
    """All pools with what is shown of them, their policy and roll-out; each knows its last decision's id (`last_decision`)."""
    last = ScalingDecision.objects.filter(pool=OuterRef("pk")).order_by("-at", "-pk")
    rows = Pool.objects.select_related("policy", "rollout__target").only(*OF_POOLS)
    return list(rows.annotate(last_decision=Subquery(last.values("pk")[:1])))


def decisions(ids: Iterable[UUID]) -> dict[UUID, dict[str, Any]]:
    """Decisions by the id of their pool: what was decided, why, and what refused."""
    columns = ("pk", "pool_id", "at", "current", "desired", "reason", "signals__refusals")
    return {row["pool_id"]: row for row in ScalingDecision.objects.filter(pk__in=list(ids)).values(*columns)}


def last_decisions(count: int) -> list[dict[str, Any]]:
    """The newest decisions of all pools."""
    columns = ("pk", "pool__slug", "at", "current", "desired", "reason")
    return list(ScalingDecision.objects.order_by("-at", "-pk").values(*columns)[:count])


def hindrances(refused: Mapping[UUID, Mapping[str, str]]) -> dict[UUID, dict[str, Hindrance]]:
    """What refuses now, by pool, with since when: as far back as the last decisions say the same without a break."""
    since: defaultdict[UUID, dict[str, float]] = defaultdict(dict)
    ended: defaultdict[UUID, set[str]] = defaultdict(set)
    hindered = [pool for pool, known in refused.items() if known][:HINDERED_AT_MOST]
    if hindered:
        with connection.cursor() as cursor:
            cursor.execute(_REFUSED, [hindered])
            for pool, at, kinds in cursor.fetchall():
                for kind in refused[pool]:
                    if kind not in kinds:
                        ended[pool].add(kind)
                    elif kind not in ended[pool]:
                        since[pool][kind] = at
    return {
        pool: {kind: Hindrance(sentence, since[pool].get(kind)) for kind, sentence in known.items()}
        for pool, known in refused.items()
    }


def workers() -> dict[UUID, list[Worker]]:
    """Live workers by pool."""
    columns = ("pool_id", "state", "slots", "gpus", "gpu_share", "ready_at", "started_at")
    found: defaultdict[UUID, list[Worker]] = defaultdict(list)
    for row in Worker.objects.filter(state__in=Worker.LIVE).only(*columns).order_by("started_at"):
        found[row.pool_id].append(row)
    return found


def failed_workers(*, since: datetime) -> dict[UUID, Failures]:
    """Those that failed since that moment, by pool."""
    found: dict[UUID, Failures] = {}
    rows = Worker.objects.filter(state=Worker.State.FAILED, stopped_at__gt=since, end_counts=True).order_by(
        "-stopped_at"
    )
    for pool, at, error in rows.values_list("pool_id", "stopped_at", "error")[:1000]:
        first = found.get(pool)
        if first is not None:
            found[pool] = first._replace(workers=first.workers + 1)
        elif at is not None:
            found[pool] = Failures(1, at.timestamp(), error)
    return found


def turn_minutes(*, since: datetime) -> dict[UUID, list[TurnMinute]]:
    """How turns went in the minutes that began since that moment, by pool."""
    found: defaultdict[UUID, list[TurnMinute]] = defaultdict(list)
    for row in TurnMinute.objects.filter(minute__gte=since).order_by():
        found[row.pool_id].append(row)
    return found


def demand(slugs: Sequence[str]) -> dict[str, PoolSignals | Exception]:
    """The queues as they are now."""
    with closing(connect(settings.REDIS_URL)) as redis:
        return Pools(redis).read(slugs)


def is_led() -> bool:
    """Whether an orchestrator of this stack holds the lead."""
    number = lock_number(settings.OPSITE_STACK) & 0xFFFF_FFFF_FFFF_FFFF
    with connection.cursor() as cursor:
        cursor.execute(_LEADS, [number >> 32, number & 0xFFFF_FFFF])
        return bool(cursor.fetchone()[0])


def recorded_until(now: datetime) -> datetime | None:
    """The end of the last minute of this day that a leader wrote down."""
    lately = DemandMinute.objects.filter(minute__gte=now - timedelta(days=1)).order_by("-minute")
    minute = lately.values_list("minute", flat=True).first()
    return None if minute is None else minute + timedelta(minutes=1)
