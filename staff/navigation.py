"""Which entries of the console's menu lead somewhere for who looks at it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from django.http import HttpRequest
from django.urls import Resolver404, resolve

from staff.access import access_of


def may_open(request: HttpRequest, *, link: Any) -> bool:
    """Whether the page behind an entry answers the one who asks: by its list's permissions, or as
    `console.frame.staff_page` says.
    """
    access, view = access_of(request.user), _view_behind(str(link).partition("?")[0])
    if access is None or view is None:
        return False
    of_model = getattr(view, "model_admin", None)
    if of_model is not None:
        return bool(of_model.has_view_or_change_permission(request))
    return access.is_operator or (
        not getattr(view, "operators_only", False)
        and (access.sees_all_tenants or bool(getattr(view, "for_tenant_administrators", False)))
    )


@cache
def _view_behind(path: str) -> Callable[..., Any] | None:
    """The menu has a few dozen entries, and each page asks about all of them."""
    try:
        return resolve(path).func
    except Resolver404:
        return None
