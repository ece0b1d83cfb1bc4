"""What log lines about tasks name beside the task: its tenant and its trace, read from its row where nobody has them at hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg.rows import dict_row

_TASKS = "SELECT id AS task, tenant_id AS tenant, trace FROM agents_task WHERE id = ANY(%s::uuid[])"


async def about_tasks(connection: psycopg.AsyncConnection[Any], tasks: Iterable[str]) -> list[dict[str, Any]]:
    """For each task that there is, what `telemetry.logs.about` takes.

    It leaves no transaction open behind it, inside which what its caller commits next would stay uncommitted.
    """
    async with connection.transaction():
        cursor = connection.cursor(row_factory=dict_row)
        return await (await cursor.execute(_TASKS, [list(tasks)])).fetchall()
