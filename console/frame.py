"""What every page of the console's own has: who may open it, and the admin's frame around it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponseBase
from django.template.response import TemplateResponse

from staff.access import Access, NotForRole, access_of


class NotFound(LookupError):
    """There is no such object, or it is not this viewer's to see."""


View = Callable[..., HttpResponseBase]

STREAM_LIFE_S = 300.0
"""A stream for staff ends after so long: its reader comes back with a cursor, and is asked anew who that is."""


class StaffRequest(HttpRequest):
    """A request of somebody with a role."""

    access: Access


def staff_page(*, for_tenant_administrators: bool = False, operators_only: bool = False) -> Callable[[View], View]:
    """A view for staff with a role; `request.access` says what they may see and do.

    Who is not logged in is sent to the login page; whose role is not enough gets 403. An action that changes anything is for
    `operators_only`, unless its object is a tenant's own.
    """

    def gate(view: View) -> View:
        @wraps(view)
        def gated(request: StaffRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path(), "admin:login")
            access = access_of(request.user)
            if access is None:
                raise NotForRole("staff with a role")
            if operators_only and not access.is_operator:
                raise NotForRole("operators")
            if not (for_tenant_administrators or access.sees_all_tenants):
                raise NotForRole("operators and viewers")
            request.access = access
            return view(request, *args, **kwargs)

        gated.for_tenant_administrators = for_tenant_administrators  # type: ignore[attr-defined]
        gated.operators_only = operators_only  # type: ignore[attr-defined]  # the menu asks for both
        return gated

    return gate


def render_page(request: HttpRequest, template: str, *, title: str, **context: Any) -> TemplateResponse:
    """A page in the console's frame. `title` is its heading; templates extend `console/page.html`."""
    return TemplateResponse(request, template, {**admin.site.each_context(request), "title": title, **context})
