"""The way through the console, by what somebody wants to do; each sees what their role lets them open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

from staff.access import access_of


@dataclass(frozen=True, slots=True)
class Entry:
    """A list, by its model's label.

    `also`: beginnings of addresses of pages that belong to it. `page`: the name of the page that it leads to in place of the
    admin's list; `permission`: what it takes beside seeing the list.
    """

    title: str
    icon: str
    label: str
    also: tuple[str, ...] = ()
    page: str = ""
    permission: str = ""


OVERVIEW = ("Overview", "monitoring")
GROUPS: tuple[tuple[str, tuple[Entry, ...]], ...] = (
    (
        "Operate",
        (
            Entry("Tasks", "task", "agents.task", also=("/console/tasks/",)),
            Entry("Pools", "dns", "orchestrator.pool", also=("/console/orchestrator/pool/",), page="console:pools"),
            Entry("Workers", "memory", "orchestrator.worker", also=("/console/workers/",)),
            Entry("Decisions", "timeline", "orchestrator.scalingdecision"),
        ),
    ),
    (
        "Tenants",
        (
            Entry("Tenants", "apartment", "tenants.tenant", also=("/console/tenants/",)),
            Entry("API keys", "key", "tenants.apikey"),
            Entry("Secrets", "lock", "tenants.secret"),
            Entry("Webhooks", "webhook", "webhooks.endpoint"),
            Entry("Deliveries", "outbox", "webhooks.delivery"),
            Entry("Usage", "bar_chart", "billing.tenantusage"),
            Entry("Usage by hour", "schedule", "billing.usagehour"),
            Entry("Budgets", "savings", "billing.budget"),
            Entry("Budget notices", "notifications", "billing.budgetnotice"),
        ),
    ),
    (
        "Agents",
        (
            Entry("Playground", "science", "agents.task", page="console:playground", permission="agents.change_task"),
            Entry("Agents", "smart_toy", "agents.agent"),
            Entry("Revisions", "history", "agents.agentrevision"),
            Entry("Publications", "publish", "agents.publication"),
            Entry("Tools", "build", "agents.tool"),
            Entry("MCP servers", "hub", "agents.mcpserver"),
            Entry("Collections", "library_books", "knowledge.collection"),
            Entry("Documents", "description", "knowledge.document"),
            Entry("Schedules", "alarm", "schedules.schedule"),
            Entry("Comparisons", "compare", "comparisons.comparison"),
            Entry("Batches", "stacks", "batches.batch"),
            Entry("Files", "folder", "batches.file"),
            Entry("Conversations", "forum", "agents.conversation"),
            Entry("Messages", "chat", "agents.message"),
            Entry("Turns", "repeat", "agents.turn"),
            Entry("Tool calls", "call_made", "agents.toolcall"),
        ),
    ),
    (
        "Models",
        (
            Entry("Policies", "tune", "orchestrator.scalingpolicy"),
            Entry("Roll-outs", "published_with_changes", "orchestrator.rollout"),
            Entry("Pool revisions", "history", "orchestrator.poolrevision"),
            Entry("Images and weights", "inventory_2", "orchestrator.stockitem"),
            Entry("Prices", "sell", "billing.price"),
            Entry("GPU bill", "receipt_long", "billing.billedhour"),
            Entry("GPU time", "timer", "billing.gpuhour"),
        ),
    ),
    (
        "Audit",
        (
            Entry("Audit log", "policy", "audit.entry"),
            Entry("Staff", "badge", "auth.user"),
        ),
    ),
)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The groups with what this viewer may open, as the theme takes them. The page's own group is open, and the first.

    `here` of a group is its entry that the page belongs to: the one with the longest beginning of its address.
    """
    groups: list[dict[str, Any]] = []
    for number, (title, entries) in enumerate(GROUPS):
        items = [] if number else _overview(request)
        items += [_item(request, entry) for entry in entries if _is_for(request, entry)]
        if items:
            groups.append({"title": title, "items": items, "is_open": number == 0, "here": None})
    every = [(item["fits"], group, item) for group in groups for item in group["items"]]
    longest = max((fits for fits, _, _ in every), default=0)
    for fits, group, item in every:
        item["active"] = fits == longest > 0
        if item["active"]:
            group.update(here=item, is_open=True)
    return groups


def may_open(request: HttpRequest, label: str) -> bool:
    """Whether there is such a list, and this viewer's role shows it to them."""
    access = access_of(request.user)
    model = apps.get_model(label)
    if access is None or not admin.site.is_registered(model):
        return False
    found = admin.site.get_model_admin(model)
    if not (access.sees_all_tenants or getattr(found, "tenant_lookup", None)):
        return False
    return found.has_view_or_change_permission(request)


def list_url(label: str) -> str:
    """The address of a model's list."""
    return reverse(f"admin:{label.replace('.', '_')}_changelist")


def _is_for(request: HttpRequest, entry: Entry) -> bool:
    return may_open(request, entry.label) and (not entry.permission or request.user.has_perm(entry.permission))


def _item(request: HttpRequest, entry: Entry) -> dict[str, Any]:
    link = reverse(entry.page) if entry.page else list_url(entry.label)
    return {
        "title": entry.title,
        "icon": entry.icon,
        "link": link,
        "fits": max(len(start) if request.path.startswith(start) else 0 for start in (link, *entry.also)),
    }


def _overview(request: HttpRequest) -> list[dict[str, Any]]:
    access = access_of(request.user)
    if access is None or not access.sees_all_tenants:
        return []
    title, icon = OVERVIEW
    link = reverse("admin:index")
    return [{"title": title, "icon": icon, "link": link, "fits": len(link) if request.path == link else 0}]
