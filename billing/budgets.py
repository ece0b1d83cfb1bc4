"""Budgets are looked after: who is nearly through is warned, who is through is stopped, and who may go on is let on.

The web processes refuse by a column of the tenant or key (`budget_spent_until`), which they remember with it and hear changes of.
So a stop holds over all of them within moments, asks nobody per request, and ends by itself with the month. What was accepted
before goes on. Any number of processes may look at once: notices are unique, and a column is written only where it differs.

Postgres tells of each tenant with a budget whose turn was recorded (NOTIFY, by the trigger that counts it): that tenant's budgets
are looked at then. All are looked at every few seconds: the GPU bill, new and raised budgets, and words that nobody heard.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import close_old_connections, connections, transaction
from django.utils import timezone

from agents.faces.context import Context
from agents.limits import Month
from billing.models import Budget, BudgetNotice
from billing.selectors import currency, money, spent
from tenants.models import ApiKey, Tenant
from webhooks.announcing import Announcement, announce

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
"""At all budgets."""
PAUSE_S = 0.1
"""Between two looks, so that a flood of turns is looked at in bulk."""
LISTEN_AGAIN_S = 1.0
CHANNEL = "opsite_budgets"
"""Postgres' NOTIFY, with the tenant's id (billing/migrations/0003)."""


async def watch(context: Context, stop: asyncio.Event) -> None:
    """Look after all budgets until `stop`: a chore of `manage.py effects`. Its looks have a thread of their own."""
    heard: set[UUID] = set()
    wake = asyncio.Event()
    beside = [
        asyncio.create_task(_listen(context, heard, wake), name="budgets that were charged"),
        asyncio.create_task(_wake_on(stop, wake)),
    ]
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="budgets") as thread:

        async def look_at(tenants: frozenset[UUID] | None) -> None:
            await sync_to_async(_look, thread_sensitive=False, executor=thread)(tenants)

        try:
            await _look_on(look_at, stop, heard, wake)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await sync_to_async(connections.close_all, thread_sensitive=False, executor=thread)()


async def _look_on(
    look_at: Callable[[frozenset[UUID] | None], Awaitable[None]],
    stop: asyncio.Event,
    heard: set[UUID],
    wake: asyncio.Event,
) -> None:
    clock = asyncio.get_running_loop().time
    all_at = clock()
    while not stop.is_set():
        wake.clear()
        tenants = None if clock() >= all_at else frozenset(heard)
        heard.clear()
        await look_at(tenants)
        if tenants is None:
            all_at = clock() + LOOK_EVERY_S
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), PAUSE_S)
        with suppress(TimeoutError):
            await asyncio.wait_for(wake.wait(), max(0.0, all_at - clock()))


async def _wake_on(stop: asyncio.Event, wake: asyncio.Event) -> None:
    await stop.wait()
    wake.set()


async def _listen(context: Context, heard: set[UUID], wake: asyncio.Event) -> None:
    while True:
        try:
            async with await context.db.connect() as connection:
                await connection.execute(f"LISTEN {CHANNEL}")
                async for word in connection.notifies():
                    heard.add(UUID(word.payload))
                    wake.set()
        except Exception as error:
            log.warning("budgets that are charged are not heard of at once: %s", error)
        await asyncio.sleep(LISTEN_AGAIN_S)


def look(*, now: datetime, tenants: Collection[UUID] | None = None) -> list[BudgetNotice]:
    """One look at all budgets, or at those of some tenants; returns what was said for the first time."""
    month = Month.of(now.astimezone(UTC))
    rows = Budget.objects.across_tenants().select_related("tenant", "api_key")
    owners, keys = Tenant.objects.all(), ApiKey.objects.across_tenants()
    if tenants is not None:
        rows = rows.filter(tenant__in=tenants)
        owners, keys = owners.filter(pk__in=tenants), keys.filter(tenant__in=tenants)
    budgets = list(rows)
    amounts = spent(budgets, month=month) if budgets else {}
    said = [
        notice
        for budget in budgets
        for kind in crossed(budget, amounts[budget.pk])
        if (notice := _say(budget, kind=kind, spent=amounts[budget.pk], month=month.start.date())) is not None
    ]
    stopped = [budget for budget in budgets if budget.is_hard and amounts[budget.pk] >= budget.amount]
    _stop({budget.tenant_id for budget in stopped if budget.api_key_id is None}, owners, month.end)
    _stop({budget.api_key_id for budget in stopped if budget.api_key_id is not None}, keys, month.end)
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


def _look(tenants: frozenset[UUID] | None) -> None:
    close_old_connections()
    look(now=timezone.now(), tenants=tenants)
