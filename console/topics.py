"""What a page can follow over the console's websocket: the one list of topics, with who may follow them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from console.frame import NotFound
from console.overview import state as overview
from console.tenants import state as tenant
from staff.access import Access

__all__ = ["TOPICS", "NotFound", "Topic"]

Reader = Callable[[Access, str], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Topic:
    """`read(access, of)` gives one snapshot as plain values, ready for JSON; `of` names the object, empty where there is one only.

    It runs in a thread with Django's connection, and raises `NotFound` where there is no such object, or not for this access.
    """

    read: Reader
    every_s: float = 1.0
    for_tenant_administrators: bool = False


TOPICS: dict[str, Topic] = {
    "overview": Topic(overview.read),
    "tenant": Topic(tenant.read, every_s=3.0, for_tenant_administrators=True),
}
