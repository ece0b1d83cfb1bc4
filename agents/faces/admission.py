"""The tenant's budget, asked before a task is accepted: reserve, or refuse with the time after which it fits; give back if need be.

The budget lives in Redis and holds for all web processes. What is limited by nothing costs nothing here. A month's total is counted
from Postgres when Redis does not have it: the first time, every hour, and after a loss of its data.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from agents.faces.database import Database
from agents.limits import Bill, refusal
from taskqueue.async_budget import AsyncBudget
from taskqueue.buckets import Reading
from taskqueue.failures import QueueUnavailable

log = logging.getLogger(__name__)

COUNTS_MAX = 3
"""A total that is counted and gone again so often is a Redis that keeps nothing."""


class Admission:
    """One per process."""

    def __init__(self, db: Database, budget: AsyncBudget) -> None:
        self._db, self._budget = db, budget

    async def reserve(self, bill: Bill) -> tuple[Reading, ...]:
        """Take what it costs; raises the `Problem` that refuses it, and `QueueUnavailable`."""
        if not bill.meters:
            return ()
        for _ in range(COUNTS_MAX):
            reserved = await self._budget.reserve(str(bill.tenant), bill.meters, month_end_ms=bill.month.end_ms)
            if reserved.verdict == "admitted":
                return reserved.readings
            if reserved.verdict == "refused":
                raise refusal(reserved.readings)
            await self._count(bill)
        raise QueueUnavailable("Redis does not keep the month's totals")

    async def refund(self, bills: Iterable[Bill]) -> None:
        """Give it back: the task was not accepted, or is an earlier one. What is lost here leaks away, or is counted anew."""
        try:
            await asyncio.gather(*(self._budget.settle(str(b.tenant), b.refunded()) for b in bills if b.meters))
        except QueueUnavailable as error:
            log.warning("refunds are lost: %s", error)

    async def _count(self, bill: Bill) -> None:
        for name, key in bill.totals():
            total = await self._db.tokens_of_month(bill.tenant, key, start=bill.month.start, end=bill.month.end)
            await self._budget.count(str(bill.tenant), name, total)
