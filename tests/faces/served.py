"""Every route that is served, and which of them take an API key."""

from __future__ import annotations

import re

from django.urls import URLPattern, URLResolver, get_resolver

from agents.faces.app import ROUTES
from batches.faces import routes as batches
from knowledge.face import ROUTES as KNOWLEDGE

NOT_TENANTS = {"", "console/", "api/schema/", "api/docs/"}
"""What Django serves beside the API: nothing of it knows an API key."""


def served_routes() -> set[str]:
    """`METHOD path` of everything that takes an API key."""
    served = {f"{method} {path}" for method, path, _ in [*ROUTES, *batches.ROUTES, *KNOWLEDGE]}
    for path, pattern in patterns(get_resolver()):
        if not path.startswith(tuple(f"/{prefix}" for prefix in NOT_TENANTS if prefix)) and path != "/":
            methods = set(pattern.callback.actions) - {"head"}  # type: ignore[attr-defined]  # REST framework's, beside GET
            served |= {f"{method.upper()} {path}" for method in methods}
    return served


def patterns(resolver: URLResolver, start: str = "/") -> list[tuple[str, URLPattern]]:
    """All of Django's routes, with their parameters as `{name}`."""
    found: list[tuple[str, URLPattern]] = []
    for one in resolver.url_patterns:
        if isinstance(one, URLResolver):
            found += patterns(one, start + _readable(str(one.pattern)))
        else:
            found.append((start + _readable(str(one.pattern)), one))
    return found


def _readable(pattern: str) -> str:
    """`^agents/(?P<slug>[^/.]+)/?$` as `agents/{slug}`, and `<path:id>/change/` as `{id}/change/`."""
    plain = pattern.removeprefix("^").removesuffix("$").removesuffix("/?")
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", plain))
