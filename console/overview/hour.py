"""The topic `overview_hour`: each pool's last hour, minute by minute, for its sparkline; and what changes as slowly beside it."""

from __future__ import annotations

import time
from typing import Any

from django.db import connection

from orchestrator import records, stock_rows, typical
from orchestrator.demand_rows import DemandMinute
from orchestrator.history.minutes import MINUTE_S
from orchestrator.models import Pool
from staff.access import Access

MINUTES = 60
EVERY_S = 20.0

_MINUTES = f"""
    SELECT pool_id, floor(extract(epoch FROM minute) / {MINUTE_S})::bigint, most_waiting, running, ready
    FROM {DemandMinute._meta.db_table} WHERE minute >= %s AND minute < %s
"""


def read(access: Access, of: str) -> dict[str, Any]:
    """The topic; there is one for all."""
    return last_hour(now=time.time())


def last_hour(*, now: float) -> dict[str, Any]:
    """`times` (Unix s, one a minute), and by slug: `demand`, turns that waited at most and ran, in workers that they fill; `ready`
    workers; null where nobody saw. `start` says what a start takes, `stock` what is being fetched.
    """
    pools = list(Pool.objects.select_related("rollout__current", "rollout__target"))
    until = int(now // MINUTE_S)
    first = until - MINUTES
    with connection.cursor() as cursor:
        cursor.execute(_MINUTES, [records.moment(first * MINUTE_S), records.moment(until * MINUTE_S)])
        rows = cursor.fetchall()
    slots = {pool.pk: pool.slots for pool in pools}
    demand: dict[Any, list[float | None]] = {pool.pk: [None] * MINUTES for pool in pools}
    ready: dict[Any, list[int | None]] = {pool.pk: [None] * MINUTES for pool in pools}
    for pool, minute, waited, running, workers in rows:
        if pool in slots and running is not None:
            demand[pool][minute - first] = round((waited + running) / slots[pool], 1)
            ready[pool][minute - first] = workers
    starts, stock = typical.of_pools(pools), stock_rows.of_pools(pools)
    return {
        "times": [minute * MINUTE_S for minute in range(first, until)],
        "pools": {
            pool.slug: {
                "demand": demand[pool.pk],
                "ready": ready[pool.pk],
                "start": starts[pool.pk],
                "stock": stock[pool.pk],
            }
            for pool in pools
        },
    }
