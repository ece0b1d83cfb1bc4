"""A tenant's page, and the figures of its charts."""

from __future__ import annotations

from typing import Any, get_args

from django.http import HttpResponseBase, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from billing.selectors import currency
from console.frame import StaffRequest, render_page, staff_page
from console.tenants import reads, state, usage
from console.tenants.found import tenant_of
from console.tenants.trail import trail


@staff_page(for_tenant_administrators=True)
@require_GET
def page(request: StaffRequest, name: str) -> HttpResponseBase:
    """What the tenant is, uses and costs."""
    tenant, now = tenant_of(request.access, name), timezone.now()
    return render_page(
        request,
        "console/tenants/page.html",
        title=tenant.name,
        trail=trail(request),
        tenant=tenant,
        state=state.snapshot(tenant, now=now),
        keys=reads.keys_of(tenant, now=now),
        agents=reads.agents_of(tenant),
        notices=reads.notices_of(tenant),
        failures=reads.failures_of(tenant),
        looked_at=reads.LOOKED_AT,
        currency=currency(),
        may_change=request.access.may_change(tenant.pk),
        is_operator=request.access.is_operator,
    )


@staff_page(for_tenant_administrators=True)
@require_GET
def usage_figures(request: StaffRequest, name: str) -> HttpResponseBase:
    """Usage of `?span=day|week|month` `&by=agent|pool`."""
    tenant = tenant_of(request.access, name)
    asked = {"span": request.GET.get("span", "day"), "by": request.GET.get("by", "agent")}
    for field, known in (("span", get_args(usage.Span)), ("by", get_args(usage.By))):
        if asked[field] not in known:
            return JsonResponse({"detail": f"{field}: choose one of {', '.join(known)}"}, status=400)
    figures: dict[str, Any] = usage.series(tenant, **asked, now=timezone.now())  # type: ignore[arg-type]
    return JsonResponse(figures)
