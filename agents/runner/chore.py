"""The runner's loop: claim calls, make them beside each other, take tasks on when their calls are over.

A call is claimed by a committed row before it is made, and its result is written only by who still holds it. So a process that is
killed in the middle leaves a row whose lease lapses: what may be repeated is, of the rest the model is told that it is not known.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from agents.faces.context import Context
from agents.faces.found import cancel_of
from agents.lifecycle import CallState
from agents.problems import Problem
from agents.runner import statements
from agents.runner.advance import advance
from agents.runner.claimed import ClaimedCall, Waits
from agents.runner.hand_off import hand_off, outcome
from agents.runner.make import Elsewhere, make
from agents.runner.timed import timed
from agents.submissions import TOOLS_CHANNEL
from agents.tools.results import UNKNOWN, Result, event_of
from outbound.client import Outbound
from taskqueue.failures import QueueUnavailable

log = logging.getLogger(__name__)

AT_ONCE = 128
LEASE_S = 10.0
RENEW_S = 3.0
LOOK_S = 1.0
ATTEMPTS_MAX = 3
LEAVE_S = 5.0
REPEATABLE = ["calculator", "current_time", "knowledge_search", "hand_off", "ask_human"]


class Runner:
    """One process's part of all tenants' calls."""

    def __init__(self, context: Context, outbound: Outbound, elsewhere: Mapping[str, Elsewhere]) -> None:
        self._context, self._outbound = context, outbound
        self._elsewhere: dict[str, Elsewhere] = {"hand_off": partial(hand_off, context), **elsewhere}
        self._look_at = 0.0
        self._held: dict[tuple[uuid.UUID, int], asyncio.Task[None]] = {}
        self._wake = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; calls under way get a moment to end, the rest is left to the lease."""
        beside = [
            asyncio.create_task(self._listen(), name="tool calls announced"),
            asyncio.create_task(self._renew(), name="leases of tool calls"),
            asyncio.create_task(self._wake_on(stop)),
        ]
        try:
            while not stop.is_set():
                self._wake.clear()
                if not await self._step():
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), LOOK_S)
            if self._held:
                await asyncio.wait(self._held.values(), timeout=LEAVE_S)
        finally:
            for task in [*beside, *self._held.values()]:
                task.cancel()
            await asyncio.gather(*beside, *self._held.values(), return_exceptions=True)

    async def _step(self) -> int:
        """Claim, and look after the rest now and then; how many were claimed. A hiccup costs no call that is under way."""
        claimed = 0
        try:
            claimed = await self._claim()
            if (now := time.monotonic()) >= self._look_at:
                self._look_at = now + LOOK_S
                await self._look_after()
        except (QueueUnavailable, Problem) as error:
            log.warning("tool calls: %s; trying again", error)
        except Exception:
            log.exception("tool calls: this look failed; the next comes all the same")
        return claimed

    async def _wake_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake.set()

    async def _listen(self) -> None:
        while True:
            try:
                async with await self._context.db.connect() as connection:
                    await connection.execute(f"LISTEN {TOOLS_CHANNEL}")
                    self._wake.set()
                    async for _ in connection.notifies():
                        self._wake.set()
            except Exception as error:
                log.warning("tool calls are not heard of at once: %s", error)
            await asyncio.sleep(LOOK_S)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            if self._held:
                try:
                    await self._context.db.run(statements.RENEW, LEASE_S, [call for call, _ in self._held])
                except Problem as error:
                    log.warning("leases of tool calls are not renewed: %s", error.detail)

    async def _claim(self) -> int:
        free = AT_ONCE - len(self._held)
        rows = await self._context.db.all(statements.CLAIM, free, LEASE_S) if free > 0 else []
        for row in rows:
            call = msgspec.convert(row, ClaimedCall)
            making = asyncio.create_task(self._make(call), name=f"tool call {call.id}")
            self._held[call.id, call.attempts] = making
        return len(rows)

    async def _make(self, call: ClaimedCall) -> None:
        try:
            try:
                with timed(call.kind or "builtin") as took:
                    result = await make(call, outbound=self._outbound, elsewhere=self._elsewhere)
                    took.outcome = "waits" if isinstance(result, Waits) else "error" if result.is_error else "ok"
            except (QueueUnavailable, Problem) as error:  # nothing was accepted anywhere
                log.warning("tool call %s: %s; it is tried again", call.id, error)
                await asyncio.sleep(LOOK_S)
                await self._kept(statements.HAND_BACK, call.id, call.attempts)
                return
            await self._bring(call, result)
        except Exception:
            log.exception("tool call %s (%s) failed in this process; its lease will lapse", call.id, call.name)
        finally:
            del self._held[call.id, call.attempts]
            self._wake.set()

    async def _bring(self, call: ClaimedCall, result: Result | Waits) -> None:
        """Write what came of a call that was made. It is held meanwhile, so nobody else makes it."""
        if isinstance(result, Waits):
            await self._kept(statements.SET_WAITING, call.id, call.attempts)
            return
        state = CallState.FAILED if result.is_error else CallState.SUCCEEDED
        if await self._kept(statements.FINISH, state.value, result.text, call.id, call.attempts) is None:
            return
        try:
            await self._tell(call.pool, call.task, call.call_id, call.name, result)
            await advance(self._context, call.task)
        except (QueueUnavailable, Problem) as error:
            log.warning("task %s: %s; it is looked at again", call.task, error)

    async def _kept(self, statement: str, *arguments: Any) -> dict[str, Any] | None:
        """Run a statement whose effect must not be lost, until Postgres takes it."""
        while True:
            try:
                return await self._context.db.one(statement, *arguments)
            except Problem as error:
                log.warning("tool calls: %s; trying again", error.detail)
                await asyncio.sleep(LOOK_S)

    async def _tell(self, pool: str, task: uuid.UUID, call_id: str, name: str, result: Result) -> None:
        await self._context.hub.queue(pool).note(
            str(task), "tool_result", event_of(call_id, name, result), once=call_id
        )

    async def _look_after(self) -> None:
        """What nobody else does: lost runners' calls, children that ended, tasks that can go on, calls of tasks that ended."""
        db = self._context.db
        lapsed = await db.all(statements.LAPSED, attempts_max=ATTEMPTS_MAX, builtin=REPEATABLE, unknown=UNKNOWN)
        for row in lapsed:
            log.warning("tool call %s: its runner was lost; it is %s", row["id"], row["state"])
            if row["state"] == CallState.FAILED:
                told = Result(row["result"], is_error=True)
                await self._each(self._tell(row["pool"], row["task"], row["call_id"], row["name"], told))
        for child in await db.all(statements.CHILDREN_ENDED):
            await self._each(self._answer(child, outcome(child)))
        for ready in await db.all(statements.READY):
            await self._each(advance(self._context, ready["task"]))
        await db.all(statements.ORPHANS)
        for left in await db.all(statements.LEFT_CHILDREN):
            await self._each(cancel_of(self._context, left["tenant"], left["child"]))

    async def _each(self, step: Awaitable[Any]) -> None:
        """One row's trouble is not the next one's."""
        try:
            await step
        except (QueueUnavailable, Problem) as error:
            log.warning("tool calls: %s; it is looked at again", error)
        except Exception:
            log.exception("tool calls: one row failed; it is looked at again")

    async def _answer(self, row: dict[str, Any], result: Result) -> None:
        state = CallState.FAILED if result.is_error else CallState.SUCCEEDED
        if await self._context.db.one(statements.ANSWER, state.value, result.text, row["id"]) is not None:
            await self._tell(row["pool"], row["task"], row["call_id"], row["name"], result)
