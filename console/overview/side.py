"""What the overview reads of chores, budgets, webhooks and dead letters: it changes slowly, so it is read now and then only."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Min, Q, QuerySet
from django.utils import timezone

from agents.lifecycle import DEAD_LETTER_CODES, CallState, TaskState
from agents.models import Task, ToolCall
from billing.models import BilledHour
from console.overview import heartbeat
from console.overview.facts import Hindrance, Overdue, SideFacts
from orchestrator.models import Worker
from orchestrator.stock_models import StockItem
from schedules.models import Schedule
from tenants.models import ApiKey, Tenant
from webhooks.models import Delivery, Endpoint

EVERY_S = 15.0
COUNTED_AT_MOST = 1000
"""What there may be more of is counted as far as this."""
NAMED_AT_MOST = 100
LETTERS_DAYS = 1
CELERY_BEGINS_S = 60.0
"""So long after the first look celery may take to be heard: it may start beside this process."""


class Side:
    """Remembers what was read last in this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._facts = SideFacts()
        self._read_at: float | None = None
        self._since: datetime | None = None

    def facts(self) -> SideFacts:
        """At most `EVERY_S` seconds old."""
        now = self._clock()
        if self._read_at is None or now - self._read_at >= EVERY_S:
            self._since = self._since or timezone.now()
            self._facts, self._read_at = read(timezone.now(), since=self._since), now
        return self._facts


def read(now: datetime, *, since: datetime) -> SideFacts:
    """All of it anew; this process has looked after it `since` then."""
    failing = Endpoint.objects.across_tenants().filter(enabled=True, failing_since__isnull=False)
    failing_count, failing_since = _counted(failing, "failing_since")
    dead_count, dead_since = _counted(_dead_letters(now), "created_at")
    keys = ApiKey.objects.across_tenants().filter(budget_spent_until__gt=now, revoked_at__isnull=True)
    disabled = Endpoint.objects.across_tenants().exclude(disabled_reason="")
    due, billed = _billing()
    heard = heartbeat.heard()
    expected = since.timestamp() + CELERY_BEGINS_S
    return SideFacts(
        overdue=_overdue(now),
        celery_heard_at=None if heard is None else heard.at,
        celery_due_at=expected if heard is None else max(expected, heard.until),
        billed_at=billed,
        bill_due_since=due,
        stock_errors=tuple(
            Hindrance(
                f"{item.get_kind_display()} {item.name} cannot be fetched: {item.error}", item.changed_at.timestamp()
            )
            for item in StockItem.objects.filter(state=StockItem.State.FAILED)[:NAMED_AT_MOST]
        ),
        dead_letters=dead_count,
        oldest_dead_letter_at=dead_since,
        webhooks_failing=failing_count,
        webhooks_failing_since=failing_since,
        webhooks_disabled=_counted(disabled)[0],
        spent_tenants=tuple(
            Tenant.objects.filter(budget_spent_until__gt=now, is_active=True).values_list("slug", flat=True)[
                :NAMED_AT_MOST
            ]
        ),
        spent_keys=_counted(keys)[0],
    )


def _dead_letters(now: datetime) -> QuerySet[Task]:
    failed = Task.objects.across_tenants().filter(state=TaskState.FAILED, error__code__in=sorted(DEAD_LETTER_CODES))
    return failed.filter(created_at__gt=now - timedelta(days=LETTERS_DAYS), rerun__isnull=True)


def _overdue(now: datetime) -> tuple[Overdue, ...]:
    """What an effects process does at once, as long as there is one: the oldest that nobody is at."""
    free = Q(lease_until__isnull=True) | Q(lease_until__lt=now)
    deliveries = Delivery.objects.across_tenants().filter(
        Q(leased_until__isnull=True) | Q(leased_until__lt=now), state=Delivery.State.PENDING, endpoint__enabled=True
    )
    schedules = Schedule.objects.across_tenants().filter(
        free, Q(retry_at__isnull=True) | Q(retry_at__lt=now), is_enabled=True
    )
    calls = ToolCall.objects.across_tenants().filter(free, state=CallState.PENDING)
    oldest = {
        "a tool call": calls.aggregate(at=Min("created_at"))["at"],
        "a webhook's delivery": deliveries.aggregate(at=Min("due_at"))["at"],
        "a schedule's task": schedules.aggregate(at=Min("next_at"))["at"],
    }
    return tuple(Overdue(what, at.timestamp()) for what, at in oldest.items() if at is not None and at < now)


def _billing() -> tuple[float | None, float | None]:
    """Since when some worker that lives is to be billed, and when the last bill was made."""
    begun = Worker.objects.filter(state__in=Worker.LIVE).aggregate(at=Min("started_at"))["at"]
    if begun is None:
        return None, None
    billed = BilledHour.objects.order_by("-hour").values_list("billed_at", flat=True)[:NAMED_AT_MOST]
    return begun.timestamp(), max((at.timestamp() for at in billed), default=None)


def _counted(rows: QuerySet[Any], moment: str = "pk") -> tuple[int, float | None]:
    """How many there are, as far as they are counted, and the oldest one's moment."""
    found = list(rows.order_by(moment).values_list(moment, flat=True)[:COUNTED_AT_MOST])
    first = found[0] if found else None
    return len(found), first.timestamp() if isinstance(first, datetime) else None
