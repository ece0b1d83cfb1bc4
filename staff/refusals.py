"""The pages of 403, 404 and 429, in the console's frame."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views import defaults

from staff.frame import bare_frame
from staff.gate import CONSOLE, refused
from staff.sign_in import too_many


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403 of Django's pages; the API answers its own."""
    if not request.path.startswith(CONSOLE):
        return defaults.permission_denied(request, exception)
    return refused(request, str(exception) or "Your role does not allow this.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404 of pages for people; the API answers its own."""
    if not request.path.startswith(CONSOLE):
        return defaults.page_not_found(request, exception)
    return render(request, "staff/not_found.html", bare_frame(request, title="Not found"), status=404)


def too_many_requests(request: HttpRequest) -> HttpResponse:
    """429 where allauth counts by itself: how often one may confirm a password."""
    return too_many(request)
