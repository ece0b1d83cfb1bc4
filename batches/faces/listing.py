"""OpenAI's lists: `after` names the last object that was seen, `limit` how many come, `order` which end they begin at."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any, NamedTuple

from starlette.requests import Request

from agents.faces.context import Context
from agents.faces.database import Row
from agents.problems import bad_field
from batches.identifiers import row_of


class Asked(NamedTuple):
    """What a list's query says. `filters` are its further parameters, None where they were left out."""

    after: uuid.UUID | None
    limit: int
    ascending: bool
    filters: dict[str, str | None]


def asked(
    request: Request, *, prefix: str, default: int, most: int, filters: Collection[str] = (), ordered: bool = False
) -> Asked:
    """Parse the query; raises the problem that names the parameter."""
    query = request.query_params
    known = {"after", "limit", *filters, *(("order",) if ordered else ())}
    for name in query:
        if name not in known:
            raise bad_field(name, f"is not supported here; known are {', '.join(sorted(known))}")
    after = query.get("after")
    place = None if after is None else row_of(prefix, after)
    if after is not None and place is None:
        raise bad_field("after", f"must be an id such as {prefix}…")
    limit = query.get("limit", str(default))
    if not (limit.isascii() and limit.isdigit() and len(limit) < 9 and 1 <= int(limit) <= most):
        raise bad_field("limit", f"must be a whole number between 1 and {most}")
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise bad_field("order", "must be asc or desc")
    return Asked(place, int(limit), order == "asc", {name: query.get(name) for name in filters})


async def page(context: Context, asked: Asked, *, tenant: uuid.UUID, rows: str, one: str) -> tuple[list[Row], bool]:
    """The rows of a page, and whether more follow. `rows` selects a tenant's, `one` the one of an id."""
    arguments: dict[str, Any] = {"tenant": tenant, "after": asked.after, "most": asked.limit + 1, **asked.filters}
    if asked.after is not None:
        if await context.db.one(one, tenant, asked.after) is None:
            raise bad_field("after", "there is no such object any more; begin anew, without it")
        rows += f" AND id {'>' if asked.ascending else '<'} %(after)s"
    async with context.db.connection() as connection:
        cursor = await connection.execute(
            f"{rows} ORDER BY id {'ASC' if asked.ascending else 'DESC'} LIMIT %(most)s", arguments
        )
        found = await cursor.fetchall()
    return found[: asked.limit], len(found) > asked.limit
