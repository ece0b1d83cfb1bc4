"""Whether a tenant is served: suspended and reactivated, by operators, after a word on what that does."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from agents.cancelling import cancel_open_tasks
from audit.acting import one_act
from audit.recording import record
from console.frame import StaffRequest, render_page, staff_page
from console.tenants import reads
from console.tenants.forms import SuspendForm
from console.tenants.found import tenant_of
from console.tenants.trail import trail
from tenants.models import Tenant
from tenants.services import reactivate_tenant, suspend_tenant


@staff_page(for_tenant_administrators=True)
@require_http_methods(["GET", "POST"])
def suspend(request: StaffRequest, name: str) -> HttpResponseBase:
    """Put a tenant out of service."""
    tenant = _operated(request, name)
    form = SuspendForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        cancel = form.cleaned_data["cancel"]
        with one_act(request):
            if suspend_tenant(tenant=tenant):
                record(
                    request,
                    "tenant.suspend",
                    tenant,
                    before={"is_active": True},
                    after={"is_active": False, "cancel_open_tasks": cancel},
                )
            elif cancel:
                record(request, "tenant.cancel_open_tasks", tenant)
        messages.success(request, f"{tenant.name} is suspended: its keys are refused from now on (within a second).")
        if cancel:
            _cancel(request, tenant)
        return redirect("console:tenant", tenant.console_name)
    running, waiting = reads.open_of(tenant)
    return render_page(
        request,
        "console/tenants/suspend.html",
        title=f"Suspend {tenant.name}",
        trail=trail(request, tenant),
        tenant=tenant,
        form=form,
        running=running,
        waiting=waiting,
        is_bounded=running + waiting >= reads.OPEN_COUNTED,
        keys=reads.valid_keys_of(tenant, now=timezone.now()),
    )


@staff_page(for_tenant_administrators=True)
@require_http_methods(["GET", "POST"])
def reactivate(request: StaffRequest, name: str) -> HttpResponseBase:
    """Put it into service again."""
    tenant = _operated(request, name)
    if request.method == "POST":
        with one_act(request):
            if reactivate_tenant(tenant=tenant):
                record(request, "tenant.reactivate", tenant, before={"is_active": False}, after={"is_active": True})
        messages.success(request, f"{tenant.name} is active: its keys are accepted from now on (within a second).")
        return redirect("console:tenant", tenant.console_name)
    return render_page(
        request,
        "console/tenants/reactivate.html",
        title=f"Reactivate {tenant.name}",
        trail=trail(request, tenant),
        tenant=tenant,
        keys=reads.valid_keys_of(tenant, now=timezone.now()),
    )


def _operated(request: StaffRequest, name: str) -> Tenant:
    """The tenant, for operators: 404 where it is not this viewer's to see, 403 for all others."""
    tenant = tenant_of(request.access, name)
    if not request.access.is_operator:
        raise PermissionDenied
    return tenant


def _cancel(request: StaffRequest, tenant: Tenant) -> None:
    done = cancel_open_tasks(tenant=tenant, redis_url=settings.REDIS_URL)
    if not done.is_whole:
        record(request, "tenant.cancel_open_tasks", tenant, after={"ending": done.ending, "all": False})
        messages.error(
            request,
            f"Redis does not answer: {done.ending:,} of its tasks are ending, others were not cancelled. "
            "Suspend it again to retry.",
        )
        return
    messages.success(request, f"{done.ending:,} tasks were waiting or running and are ending.")
