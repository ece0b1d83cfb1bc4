"""The console's menu as each role sees it: an entry is shown to those who may open what it leads to."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.http import HttpRequest
from django.urls import reverse_lazy

OF_ACCOUNT = [
    {"title": "Change password", "link": reverse_lazy("admin:password_change")},
    {"title": "Second factor", "link": reverse_lazy("mfa_index")},
]
"""What everybody finds under the own name."""


def for_roles(theme: dict[str, Any]) -> dict[str, Any]:
    """Unfold's settings, in which each entry of the menu asks for itself whether it is shown."""
    sidebar = theme["SIDEBAR"]
    groups = [{**group, "items": [_asking(item) for item in group["items"]]} for group in sidebar["navigation"]]
    return {**theme, "SIDEBAR": {**sidebar, "navigation": groups}, "ACCOUNT": {"navigation": OF_ACCOUNT}}


def _asking(item: dict[str, Any]) -> dict[str, Any]:
    return {"permission": partial(_may_open, link=item["link"]), **item}


def _may_open(request: HttpRequest, *, link: Any) -> bool:
    from staff.navigation import may_open  # it needs the models, which need the settings

    return may_open(request, link=link)
