"""Requests of people who are logged in are theirs in the audit log; who uses an API key says so where the key is checked."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

from audit import acting
from audit.models import Entry


class ActingMiddleware(MiddlewareMixin):
    """Comes after Django's authentication. Only the console has sessions."""

    def process_request(self, request: HttpRequest) -> None:
        if request.method in acting.SAFE_METHODS or settings.SESSION_COOKIE_NAME not in request.COOKIES:
            return
        if request.user.is_authenticated:
            acting.begin(request, Entry.ActorKind.STAFF, request.user.get_username())

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        acting.end(request)
        return response
