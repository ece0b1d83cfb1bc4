"""The console's frame for the pages that allauth renders, which know nothing of it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

PAGES = ("account_", "mfa_", "openid_connect_")


def sign_in_frame(request: HttpRequest) -> dict[str, Any]:
    """A context processor: what the admin's own pages have, for the pages of `staff.sign_in_urls` alone."""
    match = request.resolver_match
    if match is None or not (match.url_name or "").startswith(PAGES):
        return {}
    return admin.site.each_context(request)
