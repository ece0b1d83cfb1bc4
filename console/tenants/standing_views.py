"""Whether a tenant is served: suspended and reactivated, by operators, after a word on what that does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from agents.cancelling import cancel_open_tasks
from audit.acting import one_act
from audit.recording import record
from console.confirming import confirm
from console.frame import StaffRequest, staff_page
from console.tenants import reads
from console.tenants.forms import SuspendForm
from console.tenants.found import tenant_to_operate
from console.tenants.trail import trail
from tenants.models import Tenant
from tenants.services import reactivate_tenant, suspend_tenant


@staff_page(for_tenant_administrators=True)
@require_http_methods(["GET", "POST"])
def suspend(request: StaffRequest, name: str) -> HttpResponseBase:
    """Put a tenant out of service."""
    tenant = tenant_to_operate(request.access, name)
    form = SuspendForm(request.POST if request.method == "POST" else None)

    def do() -> None:
        cancel = form.is_valid() and form.cleaned_data["cancel"]
        with one_act(request):
            if suspend_tenant(tenant=tenant):
                after = {"is_active": False, "cancel_open_tasks": cancel}
                record(request, "tenant.suspend", tenant, before={"is_active": True}, after=after)
            elif cancel:
                record(request, "tenant.cancel_open_tasks", tenant)
        messages.success(request, f"{tenant.name} is suspended: its keys are refused from now on (within a second).")
        if cancel:
            _cancel(request, tenant)

    running, waiting = reads.open_of(tenant)
    return _confirm(
        request,
        tenant,
        "Suspend",
        do=do,
        form=form,
        running=running,
        waiting=waiting,
        is_bounded=running + waiting >= reads.OPEN_COUNTED,
    )


@staff_page(for_tenant_administrators=True)
@require_http_methods(["GET", "POST"])
def reactivate(request: StaffRequest, name: str) -> HttpResponseBase:
    """Put it into service again."""
    tenant = tenant_to_operate(request.access, name)

    def do() -> None:
        with one_act(request):
            if reactivate_tenant(tenant=tenant):
                record(request, "tenant.reactivate", tenant, before={"is_active": False}, after={"is_active": True})
        messages.success(request, f"{tenant.name} is active: its keys are accepted from now on (within a second).")

    return _confirm(request, tenant, "Reactivate", do=do, kind="")


def _confirm(
    request: StaffRequest, tenant: Tenant, verb: str, *, do: Callable[[], None], **asked: Any
) -> HttpResponseBase:
    return confirm(
        request,
        f"console/tenants/{verb.lower()}.html",
        title=f"{verb} {tenant.name}",
        trail=trail(request, tenant),
        does=f"{verb} {tenant.name}",
        do=do,
        back=reverse("console:tenant", args=[tenant.console_name]),
        tenant=tenant,
        keys=reads.valid_keys_of(tenant, now=timezone.now()),
        **asked,
    )


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
