"""What somebody who looks at the console may see and do, in one value."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db.models import Model, QuerySet

from staff.models import StaffRole

Role = StaffRole.Role
M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Access:
    """A role, and the tenant of a tenant administrator."""

    role: str
    tenant_id: uuid.UUID | None = None

    @property
    def is_operator(self) -> bool:
        """May change what is not a tenant's own."""
        return self.role == Role.OPERATOR

    @property
    def sees_all_tenants(self) -> bool:
        """Operators and viewers do."""
        return self.tenant_id is None

    def may_change(self, tenant_id: uuid.UUID | None) -> bool:
        """Whether it may change an object of this tenant (None: of no tenant)."""
        return self.is_operator or (self.tenant_id is not None and tenant_id == self.tenant_id)

    def rows(self, queryset: QuerySet[M], *, tenant: str = "tenant") -> QuerySet[M]:
        """Those of the rows that it may see; `tenant` is the look-up from a row to its tenant."""
        if self.sees_all_tenants:
            return queryset
        return queryset.filter(**{tenant: self.tenant_id})


def access_of(user: Any) -> Access | None:
    """The access of a user of Django's; None for who is no (active) member of staff, or has no role."""
    if user is None or not (user.is_active and user.is_staff):
        return None
    if user.is_superuser:
        return Access(Role.OPERATOR)
    given = StaffRole.objects.filter(user=user).first()
    return None if given is None else Access(given.role, given.tenant_id)
