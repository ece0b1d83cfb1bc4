"""The breadcrumbs of a tenant's pages."""

from __future__ import annotations

from django.urls import reverse

from console.frame import StaffRequest
from tenants.models import Tenant


def trail(request: StaffRequest, tenant: Tenant | None = None) -> list[tuple[str, str]]:
    """The way here: the list of tenants, which is not a tenant administrator's, and the tenant."""
    steps = [("Tenants", reverse("admin:tenants_tenant_changelist"))] if request.access.sees_all_tenants else []
    if tenant is not None:
        steps.append((tenant.name, reverse("console:tenant", args=[tenant.console_name])))
    return steps
