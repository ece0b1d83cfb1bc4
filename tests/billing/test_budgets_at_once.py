"""A budget that is spent stops by the record of the turn that spent it, not by the next look at all budgets."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from decimal import Decimal

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from agents.faces.database import Database
from agents.models import Turn
from billing import budgets
from billing.models import Budget
from tenants.models import Tenant
from tests.billing.conftest import price
from tests.billing.test_budgets import until_async
from tests.scene import Party, Scene


@dataclass(frozen=True)
class Here:
    """All that the chore needs of its process."""

    db: Database


def served(party: Party) -> None:
    """A turn of the tenant ends, and costs ten."""
    turns = Turn.objects.for_tenant(party.tenant).filter(task=party.task())
    turns.update(state="succeeded", finished_at=timezone.now(), completion_tokens=10, worker="w")


async def test_a_stop_follows_the_record(live_scene: Scene, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "LOOK_EVERY_S", 3600.0)
    looked: list[frozenset[object] | None] = []
    look = budgets._look
    threads: set[str] = set()

    def seen(tenants: frozenset[object] | None) -> None:
        looked.append(tenants)
        threads.add(threading.current_thread().name.partition("_")[0])
        look(tenants)  # type: ignore[arg-type]

    monkeypatch.setattr(budgets, "_look", seen)
    await sync_to_async(price)(live_scene.pool, timezone.now(), output="1000000")
    ann, bob = live_scene.ann.tenant, live_scene.bob.tenant
    await Budget.objects.acreate(tenant=ann, amount=Decimal(15))
    db, stop = Database(database_url), asyncio.Event()
    await db.open()
    watching = asyncio.create_task(budgets.watch(Here(db), stop))  # type: ignore[arg-type]

    async def heard() -> bool:
        """It listens, and has heard of one turn; one that ended before it listened counts in the next look."""
        await sync_to_async(served)(live_scene.ann)
        return frozenset({ann.pk}) in looked

    try:
        await until_async(heard)
        await sync_to_async(served)(live_scene.bob)
        await sync_to_async(served)(live_scene.ann)
        stopped = Tenant.objects.filter(budget_spent_until__isnull=False)
        await until_async(stopped.aexists)
        assert [tenant.pk async for tenant in stopped] == [ann.pk]
    finally:
        stop.set()
        await asyncio.wait_for(watching, 60)
        await db.close()
    assert threads == {"budgets"}, "its looks hold up nobody who waits for Django's one thread"
    assert looked[0] is None
    assert set(looked[1:]) == {frozenset({ann.pk})}, f"nobody looks after {bob}, who has no budget"
