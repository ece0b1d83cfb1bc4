"""The chore: claims batches, moves each a step at a time, and collects the ends of all their lines by one query.

While lines run, Postgres is asked up to twenty times a second, less often the less there is to see.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from contextlib import suppress
from typing import NamedTuple
from weakref import WeakValueDictionary

from agents.faces.context import Context
from agents.faces.database import Row
from agents.problems import Problem
from batches import statements
from batches.lifecycle import BatchState, sources
from batches.runner.feed import feed
from batches.runner.finish import finish
from batches.runner.results import CANCELLED, EXPIRED
from batches.runner.stop import stop as stop_lines
from batches.runner.validate import validate
from taskqueue.failures import QueueUnavailable
from tenants.identifiers import new_id

log = logging.getLogger(__name__)

LEASE_S = 5.0
RENEW_EVERY_S = 1.0
HELD_MAX = 64
PAUSE_MIN_S, PAUSE_MAX_S = 0.05, 0.5
AGAIN_S = 1.0
"""How soon a batch in which nothing was seen to happen, or whose step failed, is looked at again."""


class _Wait(NamedTuple):
    """How long a batch waits for its next step: until a line of it has ended, unless `firm`."""

    seconds: float
    firm: bool = False


async def run_batches(context: Context, stop: asyncio.Event) -> None:
    """Run batches until `stop` is set; what is under way then is another process's at once."""
    runner = _Runner(context)
    try:
        await runner.run(stop)
    finally:
        await runner.close()


class _Runner:
    """The batches that this process holds."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._holder = str(new_id())
        self._steps: dict[uuid.UUID, asyncio.Task[None]] = {}
        self._due: dict[uuid.UUID, float] = {}
        self._held_back: set[uuid.UUID] = set()
        self._wake = asyncio.Event()
        self._held = 0
        self._feeding: WeakValueDictionary[uuid.UUID, asyncio.Lock] = WeakValueDictionary()
        self._renew_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        pause_s = PAUSE_MIN_S
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                self._wake.clear()
                try:
                    moved = await self._round()
                except Problem as problem:  # Postgres is away
                    log.warning("batches: %s", problem)
                    moved, pause_s = False, PAUSE_MAX_S
                pause_s = PAUSE_MIN_S if moved else min(PAUSE_MAX_S, 1.5 * pause_s)
                waking = asyncio.ensure_future(self._wake.wait())
                await asyncio.wait((stopping, waking), timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
                waking.cancel()
        finally:
            stopping.cancel()

    async def close(self) -> None:
        """Leave all batches to others."""
        for step in self._steps.values():
            step.cancel()
        await asyncio.gather(*self._steps.values(), return_exceptions=True)
        with suppress(Problem):
            await self._context.db.run(statements.RELEASE, self._holder)

    async def _round(self) -> bool:
        """Look at all batches once; returns whether there was something to do."""
        db, now = self._context.db, time.monotonic()
        if now >= self._renew_at:
            await db.run(statements.RENEW, LEASE_S, self._holder)
            async with db.connection() as connection:
                claim = {"holder": self._holder, "lease_s": LEASE_S, "most": HELD_MAX - self._held}
                await connection.execute(statements.CLAIM, claim)
            self._renew_at = now + RENEW_EVERY_S
        collected = [row["id"] for row in await db.all(statements.COLLECT, self._holder)]
        batches = await db.all(statements.HELD, self._holder)
        for batch in collected:
            if batch not in self._held_back:
                self._due[batch] = 0.0
        self._held = len(batches)
        self._forget({batch["id"] for batch in batches})
        due = [batch for batch in batches if self._is_due(batch, now)]
        for batch in due:
            self._start(batch)
        return bool(collected or due)

    def _is_due(self, batch: Row, now: float) -> bool:
        return batch["id"] not in self._steps and now >= self._due.get(batch["id"], 0.0)

    def _forget(self, held: set[uuid.UUID]) -> None:
        for batch in self._due.keys() - held - self._steps.keys():
            del self._due[batch]
            self._held_back.discard(batch)

    def _start(self, batch: Row) -> None:
        self._steps[batch["id"]] = asyncio.create_task(self._step(batch), name=f"batch {batch['id']}")

    async def _step(self, batch: Row) -> None:
        name, wait = batch["id"], _Wait(AGAIN_S, firm=True)
        try:
            wait = await self._move(batch)
        except (Problem, QueueUnavailable) as error:
            log.warning("batch %s: %s; trying again", name, error)
        except Exception:
            log.exception("batch %s: this step failed; trying again", name)
        finally:
            del self._steps[name]
            (self._held_back.add if wait.firm else self._held_back.discard)(name)
            self._due[name] = time.monotonic() + wait.seconds
            self._wake.set()

    async def _move(self, batch: Row) -> _Wait:
        """One step."""
        state, all_ended = batch["state"], batch["completed"] + batch["failed"] == batch["total"]
        if state == BatchState.VALIDATING:
            await validate(self._context, batch)
        elif state == BatchState.FINALIZING or (state == BatchState.CANCELLING and all_ended):
            await finish(self._context, batch)
        elif state == BatchState.CANCELLING:
            await stop_lines(self._context, batch, CANCELLED)
            return _Wait(AGAIN_S)
        elif all_ended:
            await self._context.db.run(statements.FINALIZE, batch["id"], self._holder, sources(BatchState.FINALIZING))
        elif batch["is_over"]:
            await stop_lines(self._context, batch, EXPIRED)
            return _Wait(AGAIN_S)
        else:
            lock = self._feeding.setdefault(batch["tenant_id"], asyncio.Lock())
            async with lock:  # what one of a tenant's batches takes is seen by the next
                pause_s = await feed(self._context, batch)
            return _Wait(pause_s, firm=True) if pause_s else _Wait(AGAIN_S)
        return _Wait(0.0)
