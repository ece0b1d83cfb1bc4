"""How many rows a list has: counted where that is cheap, else by the planner's estimate.

The planner takes the table's size from `pg_class.reltuples` (moved by VACUUM and ANALYZE) and from the length of its file now, and
what a filter leaves of it from the columns' statistics. So an estimate costs one EXPLAIN, whatever the number of rows. After many
rows were deleted it may be far too high for a while: where a count is cheap, only that tells that there are few.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from django.core.exceptions import EmptyResultSet
from django.db.models import QuerySet

COUNTED_TO = 1_000
"""So many rows are counted at most."""
AFFORDABLE_COST = 5_000.0
"""What the planner may expect a count to cost (in its unit: a page read in order) so that it is made."""


@dataclass(frozen=True, slots=True)
class Size:
    """A number of rows."""

    number: int
    is_exact: bool = True

    def __str__(self) -> str:
        """`1,234`, or `about 1,000,000`: two digits of an estimate are true enough."""
        if self.is_exact:
            return f"{self.number:,}"
        step = 10 ** max(0, len(str(self.number)) - 2)
        return f"about {round(self.number / step) * step:,}"


class _Plan(msgspec.Struct, rename="pascal"):
    rows: int = msgspec.field(name="Plan Rows")
    cost: float = msgspec.field(name="Total Cost")


class _Explained(msgspec.Struct):
    plan: _Plan = msgspec.field(name="Plan")


def size_of(rows: QuerySet[Any]) -> Size:
    """The size of a query's answer, in one EXPLAIN and at most one bounded count."""
    bare = rows.order_by().values("pk")
    try:
        plan = msgspec.json.decode(bare.explain(format="json"), type=list[_Explained])[0].plan
    except EmptyResultSet:
        return Size(0)
    if plan.cost > AFFORDABLE_COST:
        return Size(plan.rows, is_exact=False)
    counted = bare[: COUNTED_TO + 1].count()
    return Size(counted) if counted <= COUNTED_TO else Size(max(plan.rows, counted), is_exact=False)


def more_than(rows: QuerySet[Any], bound: int) -> bool:
    """Whether there are more rows than `bound`, reading one more at most."""
    return bool(rows.order_by().values("pk")[: bound + 1].count() > bound)
