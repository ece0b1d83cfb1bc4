"""What a tenant's page lists: keys, agents, notices, what failed last. Each list is bounded, and says what it leaves out."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import F, QuerySet

from agents.lifecycle import TaskState
from agents.models import Agent, Task
from billing.models import BudgetNotice
from tenants.models import ApiKey, Tenant

KEYS_SHOWN = 50
AGENTS_SHOWN = 20
NOTICES_SHOWN = 5
FAILURES_SHOWN = 8
LOOKED_AT = 500
"""The newest tasks among which failed ones are looked for."""
OPEN_COUNTED = 10_000


class KeyRow(NamedTuple):
    """A key as the page shows it."""

    key: ApiKey
    state: str

    @property
    def is_valid(self) -> bool:
        """Whether it can still be revoked to any effect."""
        return self.state == "valid"


class Listed(NamedTuple):
    """Some rows, and whether there are more."""

    rows: list[Any]
    more: bool


def keys_of(tenant: Tenant, *, now: datetime) -> Listed:
    """Those that are not revoked first, the newest first."""
    found = ApiKey.objects.for_tenant(tenant).order_by(F("revoked_at").desc(nulls_first=True), "-created_at")
    rows = list(found[: KEYS_SHOWN + 1])
    return Listed([KeyRow(key, _state(key, now)) for key in rows[:KEYS_SHOWN]], len(rows) > KEYS_SHOWN)


def agents_of(tenant: Tenant) -> Listed:
    """By name, those that are not archived."""
    found = Agent.objects.for_tenant(tenant).filter(archived_at__isnull=True).select_related("current_revision__pool")
    rows = list(found[: AGENTS_SHOWN + 1])
    return Listed(rows[:AGENTS_SHOWN], len(rows) > AGENTS_SHOWN)


def notices_of(tenant: Tenant) -> list[BudgetNotice]:
    """The newest words on its budgets."""
    return list(BudgetNotice.objects.for_tenant(tenant).select_related("api_key")[:NOTICES_SHOWN])


def failures_of(tenant: Tenant) -> list[Task]:
    """What failed or expired last, among its newest tasks."""
    tasks: QuerySet[Task] = Task.objects.for_tenant(tenant)
    newest = tasks.order_by("-created_at", "-id").values("pk")[:LOOKED_AT]
    bad = tasks.filter(pk__in=newest, state__in=[TaskState.FAILED, TaskState.EXPIRED]).select_related("agent")
    return list(bad.only("id", "state", "error", "created_at", "agent__slug")[:FAILURES_SHOWN])


def open_of(tenant: Tenant) -> tuple[int, int]:
    """How many of its tasks run now, and how many wait; counted up to a bound."""
    states = Task.objects.for_tenant(tenant).filter(finished_at__isnull=True).order_by()
    found = list(states.values_list("state", flat=True)[:OPEN_COUNTED])
    running = found.count(TaskState.RUNNING)
    return running, len(found) - running


def valid_keys_of(tenant: Tenant, *, now: datetime) -> int:
    """How many keys a suspension puts out of use."""
    unrevoked = ApiKey.objects.for_tenant(tenant).filter(revoked_at__isnull=True)
    return unrevoked.exclude(expires_at__lte=now).count()


def _state(key: ApiKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "valid" if key.is_valid(now) else "expired"
