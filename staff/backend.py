"""Django's permissions by role, so that its own checks and the theme's follow what `staff.permissions` says."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.apps import apps
from django.contrib.auth.backends import ModelBackend

from staff.access import access_of
from staff.permissions import allows


@cache
def every_permission() -> frozenset[str]:
    """`agents.view_task` and all others that the installed models have."""
    return frozenset(
        f"{model._meta.app_label}.{codename}"
        for model in apps.get_models()
        for codename in (
            *(f"{verb}_{model._meta.model_name}" for verb in model._meta.default_permissions),
            *(codename for codename, _ in model._meta.permissions),
        )
    )


@cache
def permissions_of(role: str) -> frozenset[str]:
    """All that a role allows; each page asks many times."""
    return frozenset(one for one in every_permission() if allows(role, one))


@cache
def packages_of(role: str) -> frozenset[str]:
    """The packages of which a role may do anything."""
    return frozenset(one.partition(".")[0] for one in permissions_of(role))


class RoleBackend(ModelBackend):
    """Passwords are checked as Django does. What an account may do follows from its role alone: permissions of its own and groups
    count for nothing, so that one table says it all.
    """

    def get_user_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        return set()

    def get_group_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        return set()

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        access = access_of(user_obj)
        return set() if access is None else set(permissions_of(access.role))

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        access = access_of(user_obj)
        return access is not None and allows(access.role, perm)

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        access = access_of(user_obj)
        return access is not None and app_label in packages_of(access.role)
