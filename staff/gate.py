"""The gate before all of /console/: who has no role, or no second factor where all must have one, stays out, and so does a NUL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.decorators import sync_and_async_middleware

from staff.access import access_of, lacks_second_factor
from staff.frame import bare_frame
from staff.models import StaffRole

CONSOLE = "/console/"
NUL = "\x00"
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
OPEN = tuple(f"{CONSOLE}{part}/" for part in ("login", "logout", "sso", "second-factor", "password_change", "jsi18n"))
"""What anybody may ask for: signing in and out, and one's own password and second factor (these ask for a login by themselves)."""


@sync_and_async_middleware
def gate(get_response: Callable[..., Any]) -> Callable[..., Any]:
    """The middleware, after the one that knows the user. What is not the console's passes untouched."""
    if iscoroutinefunction(get_response):

        async def asked_async(request: HttpRequest) -> HttpResponse:
            refusal = await sync_to_async(refusal_of)(request) if request.path.startswith(CONSOLE) else None
            return refusal if refusal is not None else await get_response(request)

        return asked_async

    def asked(request: HttpRequest) -> HttpResponse:
        refusal = refusal_of(request) if request.path.startswith(CONSOLE) else None
        response: HttpResponse = refusal if refusal is not None else get_response(request)
        return response

    return asked


def refusal_of(request: HttpRequest) -> HttpResponse | None:
    """The answer instead of the page; None where the page is to answer. Raises `Http404` for an address that none can have."""
    if NUL in request.path:
        raise Http404("No address holds a NUL character.")
    if _holds_nul(request):
        return not_text(request)
    if request.path.startswith(OPEN):
        return None
    user: Any = request.user
    if not user.is_authenticated:
        return redirect_to_login(request.get_full_path(), "admin:login")
    access = access_of(user)
    if access is None:
        if user.is_staff and lacks_second_factor(user):
            return _to_second_factor(request)
        return refused(request, "Your account has no role yet. An operator can give it one, under Staff.")
    return None


def not_text(request: HttpRequest) -> HttpResponse:
    """400, in the console's frame: Postgres takes no NUL character in a text, so none is looked for or kept."""
    return render(request, "staff/not_text.html", bare_frame(request, title="Not a text"), status=400)


def _holds_nul(request: HttpRequest) -> bool:
    """In its query, or in a field of a form."""
    sent = [request.GET]
    if request.method == "POST" and request.content_type in FORMS:
        sent.append(request.POST)
    return any(NUL in text for fields in sent for name, values in fields.lists() for text in (name, *values))


def refused(request: HttpRequest, why: str) -> HttpResponse:
    """403, with the role of who asked and the way back. `why` says for whom it is."""
    access = access_of(request.user)
    role = StaffRole.Role(access.role).label.partition(":")[0] if access else ""
    said = {**bare_frame(request, title="No access"), "why": why, "role": role}
    return render(request, "staff/refused.html", said, status=403)


def _to_second_factor(request: HttpRequest) -> HttpResponse:
    if request.method == "GET":
        return HttpResponseRedirect(reverse("mfa_activate_totp"))
    return refused(request, "Set up a second factor first: this console asks it of all staff.")
