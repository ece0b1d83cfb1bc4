"""Which tenant an address means, and whether it is this viewer's to see."""

from __future__ import annotations

import uuid

from django.http import Http404

from staff.access import Access, NotForRole
from tenants.models import CONSOLE_LISTS, Tenant


class TenantName:
    """A tenant's slug in an address, or its id. The names of the admin's lists below `/console/tenants/` are no tenants'."""

    regex = rf"(?!(?:{'|'.join(CONSOLE_LISTS)})/)[-a-zA-Z0-9_]+"

    def to_python(self, value: str) -> str:
        """As it stands there."""
        return value

    def to_url(self, value: str) -> str:
        """`Tenant.console_name`."""
        return value


def tenant_of(access: Access, name: str) -> Tenant:
    """The tenant, or 404 where there is none, or it is not this viewer's."""
    seen = access.rows(Tenant.objects.all(), tenant="pk")
    tenant = seen.filter(slug=name).first()
    if tenant is None and (known := _id(name)) is not None:
        tenant = seen.filter(pk=known).first()
    if tenant is None:
        raise Http404("There is no such tenant.")
    return tenant


def tenant_to_change(access: Access, name: str) -> Tenant:
    """The tenant, for who may change what is its own: 404 where it is not this viewer's to see, 403 where not to change."""
    tenant = tenant_of(access, name)
    if not access.may_change(tenant.pk):
        raise NotForRole("operators and administrators of the tenant")
    return tenant


def tenant_to_operate(access: Access, name: str) -> Tenant:
    """The tenant, for operators: 404 where it is not this viewer's to see, 403 for all others."""
    tenant = tenant_of(access, name)
    if not access.is_operator:
        raise NotForRole("operators")
    return tenant


def _id(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
