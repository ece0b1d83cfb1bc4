"""Where staff begin: the overview, or, for a tenant administrator, the own tenant's page; and the list of all tenants."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect

from console.frame import StaffRequest, staff_page
from staff.access import access_of
from tenants.models import Tenant


def home(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
    """`/console/`."""
    access = access_of(request.user)
    if access is not None and access.tenant_id is not None:
        return redirect("console:tenant", Tenant.objects.get(pk=access.tenant_id).console_name)
    return admin.site.admin_view(admin.site.index)(request)


@staff_page(for_tenant_administrators=True)
def tenants(request: StaffRequest) -> HttpResponseBase:
    """`/console/tenants/`: the admin's list, which leads to each tenant's page."""
    return redirect("admin:tenants_tenant_changelist")
