"""What somebody finds who types anything anywhere: an object by its id, a small thing by a part of its name.

Large tables are asked by key alone; those that hold thousands at most by a part of a name. Each look-up goes through the model's
own page, so that everybody finds what they may open, and nothing else.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.admin import AdminSite
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.views.decorators.cache import never_cache
from unfold.dataclasses import SearchResult

from console.frame import StaffRequest, staff_page
from console.navigation import may_open, navigation

ID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
SHOWN = 6
"""Objects of one kind."""
TERM_MAX = 200
PALETTE_ROWS = 100


@dataclass(frozen=True, slots=True)
class Kind:
    """What can be found: a model's label, what it is called, and the fields of which a part may be typed.

    `page`: the name of the console's own page of it, by the member `key`; else it is shown as the admin does.
    """

    label: str
    name: str
    icon: str
    parts: tuple[str, ...] = ()
    page: str = ""
    key: str = "pk"


KINDS = (
    Kind("agents.task", "Task", "task", page="console:task"),
    Kind("orchestrator.worker", "Worker", "memory", page="console:worker"),
    Kind("orchestrator.pool", "Pool", "dns", parts=("slug", "name"), page="console:pool", key="slug"),
    Kind("tenants.tenant", "Tenant", "apartment", parts=("slug", "name"), page="console:tenant", key="console_name"),
    Kind("agents.agent", "Agent", "smart_toy", parts=("slug", "name")),
    Kind("tenants.apikey", "API key", "key", parts=("prefix", "name")),
    Kind("agents.conversation", "Conversation", "forum"),
    Kind("agents.turn", "Turn", "repeat"),
    Kind("agents.toolcall", "Tool call", "call_made"),
    Kind("agents.message", "Message", "chat"),
    Kind("agents.agentrevision", "Revision", "history"),
    Kind("batches.batch", "Batch", "stacks"),
    Kind("webhooks.delivery", "Delivery", "outbox"),
)


def found(request: HttpRequest, term: str) -> list[SearchResult]:
    """The pages that the menu calls so, and the objects that the term names, at most a few of each kind."""
    term = term.strip()[:TERM_MAX]
    if not term:
        return []
    match = ID.search(term)
    objects = [
        _result(kind, row)
        for kind in KINDS
        if may_open(request, kind.label)
        for row in (_by_id(request, kind, uuid.UUID(match[0])) if match else _by_name(request, kind, term))
    ]
    return objects if match else [*_pages(request, term), *objects]


@never_cache
@staff_page(for_tenant_administrators=True)
def palette(request: StaffRequest) -> HttpResponse:
    """What the palette (`extended`) and the menu's own field show for `s`, in the theme's templates.

    The theme's own view keeps what it found for five minutes under account and term, whatever role the account has by then.
    """
    term = request.GET.get("s", "").strip()[:TERM_MAX]
    if not term:
        return HttpResponse()
    extended = "extended" in request.GET
    site: Any = admin.site
    results = site._search_apps(AdminSite.get_app_list(site, request), term.lower())
    if extended:
        results += found(request, term)
    pages = Paginator(results, PALETTE_ROWS)
    page = pages.get_page(request.GET.get("page"))
    return TemplateResponse(
        request,
        f"unfold/helpers/{'command' if extended else 'search'}_results.html",
        {
            "page_obj": pages,
            "results": page,
            "page_counter": (page.number - 1) * PALETTE_ROWS,
            "command_show_history": False,
        },
        headers={"HX-Trigger": "search"},
    )


def _pages(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    """Entries of the menu, but those that are called as their model is: these the theme finds by itself."""
    known = {str(model._meta.verbose_name_plural).lower() for model in admin.site._registry}
    for group in navigation(request):
        for item in group["items"]:
            title = item["title"].lower()
            if term.lower() in title and title not in known:
                yield SearchResult(
                    title=item["title"], description=group["title"], link=item["link"], icon=item["icon"]
                )


def _by_id(request: HttpRequest, kind: Kind, key: uuid.UUID) -> Iterator[Any]:
    """The one object of that key; an id in another form (`resp_…`, `chatcmpl-…`) holds it."""
    yield from _rows(request, kind).filter(pk=key)[:1]


def _by_name(request: HttpRequest, kind: Kind, term: str) -> Iterator[Any]:
    """Those whose name has the term in it, whole names first."""
    if not kind.parts:
        return
    partly = Q()
    for name in kind.parts:
        partly |= Q(**{f"{name}__icontains": term})
    whole = [*_rows(request, kind).filter(**{f"{kind.parts[0]}__iexact": term})[:SHOWN]]
    yield from whole
    known = [row.pk for row in whole]
    yield from _rows(request, kind).filter(partly).exclude(pk__in=known)[: SHOWN - len(whole)]


def _rows(request: HttpRequest, kind: Kind) -> QuerySet[Any]:
    model_admin = admin.site.get_model_admin(apps.get_model(kind.label))
    rows = model_admin.get_queryset(request)
    fields = {field.name for field in rows.model._meta.fields}
    return rows.select_related("tenant") if "tenant" in fields else rows


def _result(kind: Kind, row: Any) -> SearchResult:
    tenant = getattr(row, "tenant", None)
    return SearchResult(
        title=str(row),
        description=f"{kind.name} of {tenant}" if tenant is not None else kind.name,
        link=_link(kind, row),
        icon=kind.icon,
    )


def _link(kind: Kind, row: Any) -> str:
    app, model = kind.label.split(".")
    with suppress(NoReverseMatch):
        if kind.page:
            return reverse(kind.page, args=[getattr(row, kind.key)])
    return reverse(f"admin:{app}_{model}_change", args=[row.pk])
