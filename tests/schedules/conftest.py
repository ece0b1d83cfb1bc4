"""Real processes and a real queue, as the faces' tests have them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from agents.faces.context import Context
from schedules.models import Schedule
from tenants.models import ApiKey
from tests.faces.conftest import live_scene, start, worker
from tests.scene import Party

__all__ = ["live_scene", "start", "worker"]


def scheduled(party: Party, *, next_at: datetime, name: str = "often", **more: Any) -> Schedule:
    """A schedule of the party's agent that fires each minute; `next_at` says when next."""
    return Schedule.objects.create(
        tenant=party.tenant,
        name=name,
        agent=party.agent,
        task={"agent": "poet", "input": "Now."},
        cron="* * * * *",
        api_key=ApiKey.objects.for_tenant(party.tenant).get(),
        next_at=next_at,
        **more,
    )


def minutes_ago(now: datetime, minutes: int) -> datetime:
    """A full minute."""
    return now.replace(second=0, microsecond=0) - timedelta(minutes=minutes)


@pytest.fixture
async def context(database_url: str, redis_url: str) -> AsyncIterator[Context]:
    """What the chores' process has."""
    context = await Context.start(database_url=database_url, redis_url=redis_url, body_limit=1 << 20)
    yield context
    await context.close()
