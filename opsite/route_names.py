"""Django's routes by their templates, for the metrics of requests."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from django.contrib.admindocs.views import simplify_regex
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from django.utils.deprecation import MiddlewareMixin

from telemetry.requests import name_route


class RouteNameMiddleware(MiddlewareMixin):
    """Says which route a request has taken, once that is known."""

    def process_view(self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any) -> None:
        if isinstance(request, ASGIRequest) and request.resolver_match is not None:
            name_route(request.scope, template(request.resolver_match.route))


@cache
def template(route: str) -> str:
    """A route of Django's, path or expression, as the OpenAPI document writes it: `/api/v1/agents/{slug}`."""
    plain = simplify_regex(route)
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", plain).rstrip("/") or "/"
