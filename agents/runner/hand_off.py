"""A call that hands work over to another agent: a task of its own, made once however often it is tried."""

from __future__ import annotations

from typing import Any

from agents.faces.context import Context
from agents.faces.requests import TaskRequest
from agents.faces.submit import submit
from agents.money import MoneyLimit
from agents.runner import statements
from agents.runner.claimed import ClaimedCall, Waits
from agents.tools.builtins import Builtin
from agents.tools.results import CallFailed, Result, bounded
from telemetry import tracing

DEPTH_MAX = 5


async def hand_off(context: Context, call: ClaimedCall, one: Builtin, arguments: dict[str, Any]) -> Waits:
    """Submit the child task in the name of the key that submitted this one; the call waits for its outcome."""
    principal = await context.directory.principal_behind(
        key=call.key, tenant=call.tenant, submitted_by=call.submitted_by
    )
    if principal is None:
        raise CallFailed("This task has no API key any more, so nothing can be done in its name.", sent=False)
    row = await context.db.one(statements.DEPTH, call.task)
    if row is not None and row["depth"] >= DEPTH_MAX:
        raise CallFailed(f"Work was handed over {DEPTH_MAX} times in a row already; do it here.", sent=False)
    left = [MoneyLimit(**limit).left for limit in await context.db.all(statements.MONEY, task=call.task)]
    if left and min(left) <= 0:
        raise CallFailed("The money that this task may cost is spent, so nothing is handed over.", sent=False)
    request = TaskRequest(
        agent=arguments["agent"],
        input=arguments["message"],
        idempotency_key=f"hand-off-{call.id}",
        priority=call.priority,
    )
    with tracing.behind(call.trace, call.span):
        await submit(context, principal, request, parent_call=call.id, money_left=min(left, default=None))
    return Waits()


def outcome(child: dict[str, Any]) -> Result:
    """What the child's end tells the parent's model."""
    if child["state"] == "succeeded":
        return Result(bounded(child["output"] or "(it answered nothing)"))
    error = (child["error"] or {}).get("message", "")
    return Result(bounded(f"The agent's task is {child['state']}. {error}".strip()), is_error=True)
