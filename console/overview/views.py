"""The first page: the admin's index, which unfold lets add what its template needs."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from staff.access import access_of
from tenants.models import Tenant


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Who sees all tenants has the overview; a tenant administrator the way to the tenant; who has no role is told so."""
    access = access_of(request.user)
    own = None
    if access is not None and access.tenant_id is not None:
        own = Tenant.objects.filter(pk=access.tenant_id).values("slug", "name").first()
    return {**context, "access": access, "own_tenant": own}
