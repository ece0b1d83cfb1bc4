"""What the timeline of a pool is drawn from: recorded demand, workers' lives, scaling decisions; all reads are bounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.db.models import Q

from console.pools.curves import Seen, Service, columns
from console.pools.decisions import told
from orchestrator import records
from orchestrator.demand_rows import DemandMinute
from orchestrator.models import Pool, ScalingDecision, Worker

HOUR_S = 3600.0
SPANS: Mapping[str, tuple[float, float]] = {
    "1h": (HOUR_S, 60.0),
    "6h": (6 * HOUR_S, 300.0),
    "24h": (24 * HOUR_S, 900.0),
    "7d": (7 * 24 * HOUR_S, 3600.0),
}
"""How long each is, and the steps of demand in it; in s."""
MOST_WORKERS = 5000
MOST_STEPS = 5000
MOST_TOLD = 200
"""Of a span's decisions, so many (the newest) are told in words."""


def read(pool: Pool, *, span: str, until: float) -> dict[str, Any]:
    """The span that ends at `until` (Unix s), as plain values, by four queries, six where there is much."""
    long_s, step_s = SPANS[span]
    since = until - long_s
    begin, end = records.moment(since), records.moment(until)
    rows = pool.decisions.filter(at__gt=begin, at__lte=end).order_by("-at", "-pk")
    newest = [told(one) for one in rows[:MOST_TOLD]]
    if len(newest) < MOST_TOLD:
        steps = [(one["at"], one["desired"]) for one in newest]
    else:
        steps = [(at.timestamp(), desired) for at, desired in rows.values_list("at", "desired")[:MOST_STEPS]]
    before = pool.decisions.filter(at__lte=begin).order_by("-at", "-pk").values_list("desired", flat=True).first()
    if before is not None and len(steps) < MOST_STEPS:
        steps.append((since, before))
    made = columns(
        minutes=_minutes(pool, since, until),
        services=_services(pool, since, until),
        desired=steps[::-1],
        since=since,
        until=until,
        step_s=step_s,
    )
    more = rows.count() - len(newest) if len(newest) == MOST_TOLD else 0
    return {**asdict(made), "since": since, "until": until, "decisions": newest, "more_decisions": more}


def _minutes(pool: Pool, since: float, until: float) -> list[Seen]:
    rows = DemandMinute.objects.filter(
        pool=pool, minute__gte=records.moment(since), minute__lt=records.moment(until)
    ).order_by("minute")
    return [Seen(at.timestamp(), *rest) for at, *rest in rows.values_list("minute", "arrived", "most_waiting")]


def _services(pool: Pool, since: float, until: float) -> list[Service]:
    """Of workers that were ready at some time of the span; the newest of very many."""
    rows = (
        Worker.objects.filter(pool=pool, ready_at__lt=records.moment(until))
        .filter(Q(stopped_at__isnull=True) | Q(stopped_at__gt=records.moment(since)))
        .order_by("-started_at")
    )
    found = rows.values_list("ready_at", "draining_at", "stopped_at")[:MOST_WORKERS]
    return [
        Service(ready.timestamp(), end.timestamp() if (end := draining or stopped) else None)
        for ready, draining, stopped in found
        if ready is not None
    ]


def span_around(decision: ScalingDecision, *, now: float) -> tuple[str, float]:
    """The shortest span that shows the decision, and when it ends: now, if that still has it in sight."""
    age_s = now - decision.at.timestamp()
    for name, (long_s, _) in SPANS.items():
        if age_s < long_s * 0.95:
            return name, now
    long_s, _ = SPANS["1h"]
    return "1h", decision.at.timestamp() + long_s / 2
