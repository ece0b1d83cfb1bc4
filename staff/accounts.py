"""Accounts of staff: made, changed and shut by operators. The last operator stays, whoever tries at the same time."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Q

from staff.models import StaffRole

Role = StaffRole.Role
LOCK = 0x6F707366
"""The key of the advisory lock under which operators come and go."""


class LastOperator(Exception):
    """The change would leave nobody who may do everything."""

    def __init__(self) -> None:
        super().__init__("This is the last operator: make somebody else an operator first.")


def operators() -> int:
    """How many active accounts may do everything."""
    may = Q(is_superuser=True) | Q(staff_role__role=Role.OPERATOR)
    return User.objects.filter(may, is_active=True, is_staff=True).count()


@contextmanager
def an_operator_stays() -> Iterator[None]:
    """A transaction in which accounts change, one at a time. Raises `LastOperator`, and changes nothing, if none were left."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        before = operators()
        yield
        if before and not operators():
            raise LastOperator


def give_role(*, user: User, role: str, tenant_id: uuid.UUID | None = None) -> StaffRole:
    """Make the account staff with this role; a superuser who is given another than operator is none any more.

    Raises `LastOperator`, and `ValidationError` where role and tenant do not go together.
    """
    with an_operator_stays():
        given = StaffRole.objects.filter(user=user).first() or StaffRole(user=user)
        given.role, given.tenant_id = role, tenant_id
        given.full_clean(exclude=["user"])
        given.save()
        user.is_staff = True
        user.is_superuser = user.is_superuser and role == Role.OPERATOR
        user.save(update_fields=["is_staff", "is_superuser"])
    return given


def take_role(*, user: User) -> None:
    """Leave the account without a role, so that all of its sessions end. A superuser stays one.

    Raises `LastOperator`.
    """
    with an_operator_stays():
        StaffRole.objects.filter(user=user).delete()


def role_of(user: User) -> StaffRole | None:
    """The role that the account has, a superuser's included; None: none was given."""
    given = StaffRole.objects.filter(user=user).select_related("tenant").first()
    return given or (StaffRole(user=user, role=Role.OPERATOR) if user.is_superuser else None)
