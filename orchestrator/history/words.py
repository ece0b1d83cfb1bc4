"""A pool's recorded demand and its forecast in sentences, for the console."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Count, Max, Min, Sum
from django.utils import timezone

from orchestrator.demand_rows import DemandForecast
from orchestrator.models import Pool
from orchestrator.policies.demand import Forecast, counted
from orchestrator.policies.forecast import distrust


def in_words(pool: Pool) -> str:
    """What is recorded, and how far its forecasts lay off."""
    return f"{_recorded(pool)} {_foreseen(getattr(pool, 'forecast', None))}".strip()


def _recorded(pool: Pool) -> str:
    now = timezone.now()
    rows = pool.demand_minutes.order_by()
    lately = rows.filter(minute__gte=now - timedelta(days=1)).aggregate(
        came=Sum("arrived"), minutes=Count("pk"), busiest=Max("arrived"), waited=Max("most_waiting")
    )
    first = rows.aggregate(first=Min("minute"))["first"]
    if first is None:
        return "Nothing is recorded yet."
    since = f"Recorded since {first:%Y-%m-%d %H:%M} UTC."
    if not lately["minutes"]:
        return f"{since} Nothing is recorded of the last day."
    came, minutes = counted(lately["came"], "turn"), counted(lately["minutes"], "minute")
    return (
        f"{since} In the last day {came} came in within {minutes} that were seen, {lately['busiest']} in the busiest; "
        f"{lately['waited']} waited at most."
    )


def _foreseen(made: DemandForecast | None) -> str:
    if made is None:
        return ""
    if made.error is None:
        return "No forecast yet: two days of demand are needed at least, the last one nearly whole."
    kind = Forecast(made.made_at.timestamp(), 0.0, made.error, made.plain_error, made.season)
    doubt = distrust(kind) or f"by the {made.season} they lay off by {made.error:.1%} of what came"
    begin = "No floor goes by forecasts" if distrust(kind) else "A floor goes by forecasts"
    return f"{begin}: {doubt} (the last of {made.made_at:%Y-%m-%d %H:%M} UTC)."
