"""What an operator looks at, as addresses: each list in the ways that it is read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import QuerySet

from agents.models import Message, Task, ToolCall, Turn
from billing.models import UsageHour
from staff.lists.change_list import AFTER
from staff.lists.keyset import cursor_of, ordered


@dataclass(frozen=True, slots=True)
class Look:
    """`is_bounded`: the goal holds for it."""

    name: str
    address: str
    is_bounded: bool = False


def looks(*, now: datetime) -> list[Look]:
    """Of a database that is filled."""
    busy, quiet = _tenants()
    middle = now - timedelta(days=15)
    task = Task.objects.across_tenants().filter(created_at__lte=middle).order_by("-created_at").first()
    keyed = Task.objects.across_tenants().filter(idempotency_key__isnull=False, created_at__lte=middle).first()
    if task is None or keyed is None:
        raise ValueError("there are no tasks as old as 15 days: fill the database first")
    tasks: list[tuple[str, dict[str, Any]]] = [
        ("first page", {}),
        ("page 10,000 or so", {AFTER: _cursor(Task, task)}),
        ("of a busy tenant", {"tenant__id__exact": busy}),
        ("of a busy tenant, from its middle", {"tenant__id__exact": busy, AFTER: _cursor(Task, task)}),
        ("of a quiet tenant", {"tenant__id__exact": quiet}),
        ("running", {"state": "running"}),
        ("failed", {"state": "failed"}),
        ("expired", {"state": "expired"}),
        ("failed, of a busy tenant", {"state": "failed", "tenant__id__exact": busy}),
        ("of the last day", {"created_at__within": "24h"}),
        ("of a month ago", {"created_at__until": f"{now - timedelta(days=28):%Y-%m-%dT%H:%M}"}),
        ("with an error code", {"error_code": "engine_error"}),
        ("dead letters", {"dead_letter": "left"}),
        ("of one pool", {"pool": task.pool.slug}),
        ("searched by id", {"q": str(task.pk)}),
        ("searched by idempotency key", {"q": keyed.idempotency_key}),
        ("searched by agent", {"q": "writer"}),
        ("searched in vain", {"q": "nothing is called so"}),
    ]
    found = [Look(f"tasks, {name}", _list(Task, query), is_bounded=True) for name, query in tasks]
    for model, middling in ((Turn, {}), (ToolCall, {}), (Message, {}), (UsageHour, {})):
        name = str(model._meta.verbose_name_plural)
        row = model.objects.across_tenants().order_by("pk").first()
        found.append(Look(f"{name}, first page", _list(model, middling)))
        if row is not None:
            found.append(Look(f"{name}, a later page", _list(model, {AFTER: _cursor(model, row)})))
        found.append(Look(f"{name}, of a busy tenant", _list(model, {"tenant__id__exact": busy})))
    found.append(Look("turns, failed", _list(Turn, {"state__exact": "failed"})))
    found.append(Look("overview, the page", "/console/", is_bounded=True))
    return found


def _tenants() -> tuple[str, str]:
    """One that has many tasks, and one that has few, of the tasks of an hour in the middle."""
    sample = Task.objects.across_tenants().order_by("-id").values_list("tenant_id", flat=True)[:20_000]
    counted = Counter(sample).most_common()
    return str(counted[0][0]), str(counted[-1][0])


def _cursor(model: type[Any], row: Any) -> str:
    model_admin = admin.site.get_model_admin(model)
    rows: QuerySet[Any] = model.objects.across_tenants()
    ordering = model_admin.ordering or model._meta.ordering
    names = {str(part).lstrip("-") for part in ordering}
    last = [] if names & {"pk", "id"} else ["-pk"]
    _, terms = ordered(rows, [*ordering, *last])
    return cursor_of(terms, row)


def _list(model: type[Any], query: dict[str, Any]) -> str:
    app, name = model._meta.app_label, model._meta.model_name
    return f"/console/{app}/{name}/?{urlencode(query)}"
