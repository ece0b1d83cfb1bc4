"""Budgets are looked after: who is nearly through is warned, who is through is stopped, and who may go on is let on.

The web processes refuse by a column of the tenant or key (`budget_spent_until`), which they remember with it and hear changes of.
So a stop holds over all of them within moments, asks nobody per request, and ends by itself with the month. What was accepted
before goes on. Any number of processes may look at once: notices are unique, and a column is written only where it differs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from asgiref.sync import sync_to_async
from django.db import close_old_connections, transaction
from django.utils import timezone

from agents.faces.context import Context
from agents.limits import Month
from billing.models import Budget, BudgetNotice
from billing.selectors import currency, money, spent
from tenants.models import ApiKey, Tenant
from webhooks.announcing import Announcement, announce

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0


async def watch(context: Context, stop: asyncio.Event) -> None:
    """Look after all budgets until `stop`: a chore of `manage.py effects`."""
    while not stop.is_set():
        await sync_to_async(_look)()
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOK_EVERY_S)


def look(*, now: datetime) -> list[BudgetNotice]:
    """One look at all budgets; returns what was said for the first time."""
    month = Month.of(now.astimezone(UTC))
    budgets = list(Budget.objects.across_tenants().select_related("tenant", "api_key"))
    amounts = spent(budgets, month=month) if budgets else {}
    said = [
        notice
        for budget in budgets
        for kind in crossed(budget, amounts[budget.pk])
        if (notice := _say(budget, kind=kind, spent=amounts[budget.pk], month=month.start.date())) is not None
    ]
    stopped = [budget for budget in budgets if budget.is_hard and amounts[budget.pk] >= budget.amount]
    _stop({budget.tenant_id for budget in stopped if budget.api_key_id is None}, Tenant.objects.all(), month.end)
    keys = {budget.api_key_id for budget in stopped if budget.api_key_id is not None}
    _stop(keys, ApiKey.objects.across_tenants(), month.end)
    return said


def crossed(budget: Budget, amount: Decimal) -> tuple[str, ...]:
    """Which of a budget's marks an amount has reached."""
    warned = amount * 100 >= budget.amount * budget.warn_percent
    return (*(["warning"] if warned else []), *(["spent"] if amount >= budget.amount else []))


def said_of(notice: BudgetNotice) -> dict[str, Any]:
    """A notice as the tenant's applications are told of it."""
    return {
        "key": str(notice.api_key_id) if notice.api_key_id else None,
        "month": f"{notice.month:%Y-%m}",
        "currency": currency(),
        "amount": money(notice.amount),
        "spent": money(notice.spent),
    }


def _say(budget: Budget, *, kind: str, spent: Decimal, month: date) -> BudgetNotice | None:
    """Note that a mark was reached, and announce it with the same commit; None if it was noted before, by whomever."""
    with transaction.atomic():
        notice, is_new = BudgetNotice.objects.for_tenant(budget.tenant_id).get_or_create(
            tenant=budget.tenant,
            budget=budget,
            month=month,
            kind=kind,
            amount=budget.amount,
            defaults={"spent": spent, "api_key": budget.api_key},
        )
        if not is_new:
            return None
        announce(
            [
                Announcement(
                    tenant_id=budget.tenant_id, type=f"budget.{kind}", data=said_of(notice), at=notice.created_at
                )
            ]
        )
    log.warning("budget %s: %s, %s of %s", budget, kind, money(spent), money(budget.amount))
    return notice


def _stop(owners: Iterable[Any], rows: Any, until: datetime) -> None:
    """Stop these until then, and nobody else. A statement that changes nothing is not sent: the web processes forget all by it."""
    owners = set(owners)
    now_stopped = dict(rows.filter(budget_spent_until__isnull=False).values_list("pk", "budget_spent_until"))
    new = [owner for owner in owners if now_stopped.get(owner) != until]
    freed = [owner for owner in now_stopped if owner not in owners]
    if new:
        rows.filter(pk__in=new).update(budget_spent_until=until)
    if freed:
        rows.filter(pk__in=freed).update(budget_spent_until=None)


def _look() -> None:
    close_old_connections()
    look(now=timezone.now())
