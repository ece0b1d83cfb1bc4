"""What the bill's tests share: committed tenants, real processes, a worker by hand, and usage counted anew from raw rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from agents.models import Task, Turn
from billing.models import Price, UsageHour
from orchestrator.models import Pool
from tests.faces.conftest import live_scene, start, worker
from tests.scene import Scene

__all__ = ["live_scene", "start", "worker"]

Counts = dict[tuple[Any, ...], Counter[str]]


@pytest.fixture
async def postgres(live_scene: Scene, database_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        yield connection


def price(pool: Pool, at: datetime, **amounts: str) -> Price:
    """A pool's price from that moment on; it may lie in the past."""
    return Price.objects.create(pool=pool, valid_from=at, **{name: Decimal(amount) for name, amount in amounts.items()})


def counted() -> Counts:
    """The roll-up, by all that it tells apart."""
    return {
        (row.tenant_id, row.api_key_id, row.agent_id, row.pool_id, row.hour): Counter(
            {name: value for name in UsageHour.COUNTS if (value := getattr(row, name))}
        )
        for row in UsageHour.objects.across_tenants()
    }


def recounted() -> Counts:
    """The same from raw rows, one by one."""
    found: Counts = {}
    prices = list(Price.objects.order_by("-valid_from"))
    for task in Task.objects.across_tenants().filter(finished_at__isnull=False):
        _of(found, task, task.finished_at).update({"requests": 1, task.state: 1})
    for turn in Turn.objects.across_tenants().filter(finished_at__isnull=False).select_related("task"):
        counts = _of(found, turn.task, turn.finished_at)
        cached = min(turn.cached_tokens, turn.prompt_tokens)
        tokens = {
            "prompt_tokens": turn.prompt_tokens,
            "cached_tokens": cached,
            "completion_tokens": turn.completion_tokens,
        }
        counts.update({"turns": 1, **{name: count for name, count in tokens.items() if count}})
        for one in prices:
            if one.pool_id == turn.task.pool_id and one.valid_from <= turn.finished_at:
                cost = (turn.prompt_tokens - cached) * one.input + cached * one.cached_input
                cost = (cost + turn.completion_tokens * one.output) / 1_000_000
                if cost:
                    counts["cost"] += cost  # type: ignore[assignment]
                break
    return found


def _of(found: Counts, task: Task, at: datetime | None) -> Counter[str]:
    assert at is not None
    hour = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return found.setdefault((task.tenant_id, task.api_key_id, task.agent_id, task.pool_id, hour), Counter())
