"""The asyncio client of tenants' budgets: reserve before a task is accepted, settle when it is known what it took.

A tenant's budget is one for all pools, and a script of Redis Cluster may touch one slot only: so it lies in a slot of its own,
and is asked before the pool's queue is. What one turn of the event loop asks goes out together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from taskqueue import keys
from taskqueue.async_client import run
from taskqueue.buckets import Meter, Reading, Reserved
from taskqueue.calls import Call
from taskqueue.link import Link
from taskqueue.scripts import script

COUNTED_S = 3600
"""A month's total is counted anew so often: what a crash left in it stays no longer."""


class AsyncBudget:
    """All tenants' budgets over one link."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def reserve(self, tenant: str, meters: Sequence[Meter], *, month_end_ms: int) -> Reserved:
        """Take each meter's cost if all have room for it, else nothing."""

        def parse(answer: Sequence[Any]) -> Reserved:
            verdict, *numbers = answer
            readings = zip(meters, numbers[::3], numbers[1::3], numbers[2::3], strict=False)
            return Reserved(verdict.decode(), tuple(Reading(*reading) for reading in readings))

        args = (month_end_ms, *_flat(meters))
        return await run(self._link, keys.budget(tenant), Call(script("reserve"), args, parse))

    async def settle(self, tenant: str, meters: Sequence[Meter]) -> None:
        """Add each meter's cost, whatever the limit; a negative one is given back."""
        if meters:
            call = Call(script("settle"), tuple(_flat(meters)), lambda _: None)
            await run(self._link, keys.budget(tenant), call)

    async def count(self, tenant: str, name: str, total: int) -> None:
        """A month's total as Postgres knows it, unless somebody was faster."""
        await self._link.ask("SET", f"{keys.budget(tenant)}{name}", total, "NX", "EX", COUNTED_S)


def _flat(meters: Sequence[Meter]) -> list[str | int]:
    return [word for meter in meters for word in meter]
