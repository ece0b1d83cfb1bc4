"""What a page can follow over the console's websocket: the one list of topics, with who may follow them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from console.overview import hour as overview_hour
from console.overview import state as overview
from console.pools import state as pool
from console.tenants import state as tenant
from console.workers import state as workers
from staff.access import Access

Reader = Callable[[Access, str], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Topic:
    """`read(access, of)` gives one snapshot as plain values, ready for JSON; `of` names the object, empty where there is one only.

    It runs in a thread with Django's connection, and raises `NotFound` (of `console.frame`) where there
    is no such object, or not for this access.

    One snapshot serves all who follow the same `of` and see the same tenants (`console.readings`), so what it says may depend on
    `access.tenant_id`, not on the role: of those who see all tenants `read` is given a viewer's access. It is read while somebody
    follows, `every_s` seconds after the last read had ended.
    """

    read: Reader
    every_s: float = 1.0
    for_tenant_administrators: bool = False


TOPICS: dict[str, Topic] = {
    "overview": Topic(overview.read),
    "overview_hour": Topic(overview_hour.read, every_s=overview_hour.EVERY_S),
    "pool": Topic(pool.read),
    "worker": Topic(workers.read),
    "tenant": Topic(tenant.read, every_s=3.0, for_tenant_administrators=True),
}
