"""The pages of 403, 404 and 429, in the console's frame."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views import defaults

from staff.access import Access, access_of
from staff.frame import bare_frame
from staff.gate import CONSOLE, refused
from staff.sign_in import too_many


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403 of Django's pages; the API answers its own."""
    if not request.path.startswith(CONSOLE):
        return defaults.permission_denied(request, exception)
    return refused(request, str(exception) or _for_whom(access_of(request.user)))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404 of pages for people; the API answers its own."""
    if not request.path.startswith(CONSOLE):
        return defaults.page_not_found(request, exception)
    return render(request, "staff/not_found.html", bare_frame(request, title="Not found"), status=404)


def _for_whom(access: Access | None) -> str:
    """What Django's own pages leave unsaid when they refuse."""
    if access is None or access.is_operator:
        return "Nobody may do this in the console."
    if access.sees_all_tenants:
        return "This is for operators, and for administrators of a tenant where it is their tenant's."
    return "This is for operators. Administrators of a tenant reach what is their tenant's own."


def too_many_requests(request: HttpRequest) -> HttpResponse:
    """429 where allauth counts by itself: how often one may confirm a password."""
    return too_many(request)
