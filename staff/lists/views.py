"""What a list's page sends: a filter to keep, one to drop, the order of a file."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG
from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict, StreamingHttpResponse
from django.utils import timezone
from django.views.decorators.http import require_POST

from audit.recording import record
from staff.access import access_of
from staff.lists import export, saved

NAMES_A_TENANT = ("", "__exact", "__id", "__id__exact", "__pk", "__pk__exact")
"""How a filter's parameter ends that names a tenant, behind the way to it."""


@require_POST
def save_filter(request: HttpRequest, model_admin: Any) -> HttpResponse:
    """Keep the filter that `query` is under `name`."""
    _may_look(request, model_admin)
    query = request.POST.get("query", "")
    try:
        kept = saved.save(
            user=request.user,
            list_label=model_admin.opts.label_lower,
            name=request.POST.get("name", ""),
            query=query,
            is_shared="is_shared" in request.POST,
        )
    except saved.CannotSave as refusal:
        messages.error(request, str(refusal))
        return _back(model_admin, saved.lasting(query))
    who = "You and other staff find" if kept.is_shared else "You find"
    messages.success(request, f"{who} this list as “{kept.name}” under Saved filters.")
    return _back(model_admin, kept.query)


@require_POST
def drop_filter(request: HttpRequest, model_admin: Any, pk: int) -> HttpResponse:
    """Forget one's own."""
    _may_look(request, model_admin)
    dropped = saved.drop(user=request.user, list_label=model_admin.opts.label_lower, pk=pk)
    if dropped is None:
        raise Http404("You have no such saved filter.")
    messages.success(request, f"The saved filter “{dropped.name}” is deleted.")
    return _back(model_admin, saved.lasting(request.POST.get("query", "")))


@require_POST
def export_list(request: HttpRequest, model_admin: Any) -> HttpResponse | StreamingHttpResponse:
    """The list of this address as a file, as its viewer sees it."""
    _may_look(request, model_admin)
    kind = request.POST.get("format", "")
    if kind not in export.TYPES:
        messages.error(request, f"Format: choose one of {', '.join(export.TYPES)}.")
        return _back(model_admin, request.GET.urlencode())
    request.GET = QueryDict(saved.lasting(request.GET.urlencode()))
    try:
        change_list = model_admin.get_changelist_instance(request)
    except IncorrectLookupParameters:
        return _back(model_admin, f"{ERROR_FLAG}=1")
    shown = [column for column in change_list.list_display if column != "action_checkbox"]
    columns = list(model_admin.export_columns) or shown
    rows = change_list.queryset
    name = f"{model_admin.opts.model_name}-{timezone.now():%Y%m%dT%H%M%SZ}.{kind}"
    count = rows.order_by().values("pk")[: export.ROWS_AT_MOST].count()
    kept = {"filter": request.GET.urlencode(), "format": kind, "rows": count, "columns": columns}
    tenant_id = _tenant_of(request, model_admin)
    record(request, f"{model_admin.opts.model_name}.export", after=kept, tenant_id=tenant_id)
    pieces = export.lines(
        rows.defer(*model_admin.list_defer),
        columns,
        ordering=rows.query.order_by,
        at_most=count,
        model_admin=model_admin,
        kind=kind,
    )
    return StreamingHttpResponse(
        _asynchronous(pieces) if isinstance(request, ASGIRequest) else pieces,
        content_type=export.TYPES[kind],
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )


def _next(pieces: Iterator[bytes]) -> bytes | None:
    return next(pieces, None)


async def _asynchronous(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The same for ASGI, which would gather what a plain iterator gives. All of it runs in the request's one thread, as its
    connection to Postgres must.
    """
    try:
        while (piece := await sync_to_async(_next)(pieces)) is not None:
            yield piece
    finally:
        await sync_to_async(pieces.close)()  # type: ignore[attr-defined]  # a generator


def _tenant_of(request: HttpRequest, model_admin: Any) -> uuid.UUID | None:
    """Whose rows the list has, if they are one tenant's: the viewer's own, or the one that the filter names."""
    access = access_of(request.user)
    if access is not None and access.tenant_id is not None:
        return access.tenant_id
    if not (way := model_admin.tenant_lookup):
        return None
    named = {given for name in NAMES_A_TENANT for given in request.GET.getlist(f"{way}{name}")}
    with suppress(ValueError):
        return uuid.UUID(named.pop()) if len(named) == 1 else None
    return None


def _may_look(request: HttpRequest, model_admin: Any) -> None:
    if access_of(request.user) is None or not model_admin.has_view_or_change_permission(request):
        raise PermissionDenied


def _back(model_admin: Any, query: str) -> HttpResponseRedirect:
    return HttpResponseRedirect(f"{model_admin.list_url()}?{query}" if query else model_admin.list_url())
