"""What somebody who looks at the console may see and do, in one value."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, TypeVar

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet

from staff.models import StaffRole

Role = StaffRole.Role
M = TypeVar("M", bound=Model)
_REMEMBERED = "_staff_access"
_UNREAD: Any = object()


class NotForRole(PermissionDenied):
    """403 that says for whom it would be: `needed` is a role in the plural, `operators`."""

    def __init__(self, needed: str) -> None:
        super().__init__(f"This is for {needed}.")


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
    """The access of a user of Django's; None for who is no (active) member of staff, has no role, or lacks the second factor
    that OPSITE_REQUIRE_TOTP asks of all.

    It is read once for each object of a user, so once for each request.
    """
    if user is None or not (user.is_active and user.is_staff):
        return None
    known: Access | None = getattr(user, _REMEMBERED, _UNREAD)
    if known is _UNREAD:
        known = None if lacks_second_factor(user) else _role_of(user)
        setattr(user, _REMEMBERED, known)
    return known


def lacks_second_factor(user: Any) -> bool:
    """Whether the account must set up a second factor before it may do anything else."""
    if not settings.OPSITE_REQUIRE_TOTP:
        return False
    return not Authenticator.objects.filter(user_id=user.pk, type=Authenticator.Type.TOTP).exists()


def _role_of(user: Any) -> Access | None:
    if user.is_superuser:
        return Access(Role.OPERATOR)
    given = StaffRole.objects.filter(user_id=user.pk).first()
    return None if given is None else Access(given.role, given.tenant_id)
