"""The page that shows a secret: the answer to what made it. No message, session or cookie ever has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.cache import add_never_cache_headers


@dataclass(frozen=True, slots=True)
class Made:
    """What was made: its name, what it is called among its kind (`key`, `signing secret`), and the secret."""

    name: str
    kind: str
    secret: str


def shown_once(
    request: HttpRequest,
    made: Sequence[Made],
    *,
    title: str,
    back: str,
    trail: Sequence[tuple[str, str]] = (),
    **more: Any,
) -> TemplateResponse:
    """The answer that shows what was made; no browser keeps it. `back` is where one goes on, and what a reload opens."""
    shown = {**admin.site.each_context(request), "title": title, "trail": trail, "made": made, "back": back, **more}
    response = TemplateResponse(request, "staff/shown_once.html", shown)
    add_never_cache_headers(response)
    return response
