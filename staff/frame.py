"""The console's frame for pages of signing in, and for refusals."""

from __future__ import annotations

from copy import copy
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest

PAGES = ("account_", "mfa_", "openid_connect_")


def sign_in_frame(request: HttpRequest) -> dict[str, Any]:
    """A context processor: what the admin's own pages have, for the pages of `staff.sign_in_urls` alone."""
    match = request.resolver_match
    if match is None or not (match.url_name or "").startswith(PAGES):
        return {}
    return admin.site.each_context(request)


def bare_frame(request: HttpRequest, *, title: str) -> dict[str, Any]:
    """The frame as it is for who is not logged in: no menu is worked out for a page that has none."""
    stranger = copy(request)
    stranger.user = AnonymousUser()
    return {**admin.site.each_context(stranger), "title": title}
