"""The addresses of the places where one acts on what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from urllib.parse import urlencode

from django.urls import reverse

from console.overview.findings import Finding

_LISTS = {
    "pools": "orchestrator_pool",
    "workers": "orchestrator_worker",
    "failed_tasks": "agents_task",
    "dead_letters": "agents_task",
    "tasks": "agents_task",
    "webhooks": "webhooks_endpoint",
    "deliveries": "webhooks_delivery",
    "schedules": "schedules_schedule",
    "calls": "agents_toolcall",
    "stock": "orchestrator_stockitem",
    "tenants": "tenants_tenant",
    "keys": "tenants_apikey",
    "bills": "billing_billedhour",
}


def pool_page(slug: str) -> str:
    """A pool's page in the console."""
    return f"/console/pools/{slug}/"


def worker_page(worker: str) -> str:
    """A worker's page in the console."""
    return f"/console/workers/{worker}/"


def decision_page(decision: str) -> str:
    """A decision, with its signals."""
    return reverse("admin:orchestrator_scalingdecision_change", args=[decision])


def failed_tasks(pool_id: str) -> str:
    """The failed tasks of a pool, newest first."""
    return _list("failed_tasks", state__exact="failed", pool__id__exact=pool_id)


def of(finding: Finding, pool_ids: Mapping[str, str]) -> str:
    """Where one acts on it. `pool_ids`: by slug."""
    match finding.place:
        case "pool":
            return pool_page(finding.key)
        case "worker":
            return worker_page(finding.key)
        case "failed_tasks":
            return failed_tasks(pool_ids[finding.key])
        case "workers" if finding.key:
            return _list("workers", pool__id__exact=pool_ids[finding.key])
        case "dead_letters":
            return _list("dead_letters", dead_letter="left")
        case "stock":
            return _list("stock", state__exact="failed")
        case place:
            return _list(place)


def _list(place: str, **filters: str) -> str:
    return f"{_address(place)}?{urlencode(filters)}" if filters else _address(place)


@cache
def _address(place: str) -> str:
    return reverse(f"admin:{_LISTS[place]}_changelist")
