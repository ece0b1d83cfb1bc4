"""What comes after a turn's tool calls: the next turn, or the end. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from agents.lifecycle import ENDED_CALLS, CallState
from agents.money import MoneyLimit
from agents.tools.chosen import Limits
from taskqueue.messages import OutcomeState, TaskError


class Wait(NamedTuple):
    """Calls are still under way."""


class End(NamedTuple):
    """The task ends."""

    state: OutcomeState
    error: TaskError | None = None


class Next(NamedTuple):
    """The next turn; `context` are the messages that came since the turn before, as they lie in Postgres."""

    number: int
    context: list[dict[str, Any]]


Step = Wait | End | Next


def next_step(
    *,
    task: Mapping[str, Any],
    turn: Mapping[str, Any],
    calls: Sequence[Mapping[str, Any]],
    now: datetime,
    money: Sequence[MoneyLimit] = (),
    currency: str = "",
) -> Step:
    """`task` with deadline, limits and tokens so far; `turn` the last one; `calls` what it asked for; `money` what limits it.

    A turn that writes a summary is none that the agent made; its tokens count.
    """
    if task["deadline_at"] is not None and task["deadline_at"] <= now:
        return End("expired")
    limits = msgspec.convert(task["limits"], Limits)
    if (late := _late(limits, task=task, now=now)) is not None:
        return End("failed", late)
    if any(CallState(call["state"]) not in ENDED_CALLS for call in calls):
        return Wait()
    turns = turn["number"] - turn["summaries"]
    over = _over(limits, task=task, turns=turns, now=now) or _too_dear(money, currency)
    if over is not None:
        return End("failed", over)
    if turn["summarises"] is not None:
        return Next(turn["number"] + 1, [])
    said = {
        "role": "assistant",
        "content": turn["output"],
        "tool_calls": [{"id": call["call_id"], "name": call["name"], "arguments": call["arguments"]} for call in calls],
    }
    results = [{"role": "tool", "content": call["result"], "tool_call_id": call["call_id"]} for call in calls]
    return Next(turn["number"] + 1, [said, *results])


def _over(limits: Limits, *, task: Mapping[str, Any], turns: int, now: datetime) -> TaskError | None:
    if turns >= limits.max_turns:
        return TaskError("turn_limit", f"The agent made {turns} model calls, its limit, and wanted more tools called.")
    if limits.max_tokens and task["tokens"] >= limits.max_tokens:
        return TaskError(
            "token_limit", f"The task took {task['tokens']} tokens; the agent's limit is {limits.max_tokens}."
        )
    if not task["is_active"] or task["revoked_at"] is not None:
        return TaskError("not_allowed", "The tenant or the API key in whose name the task runs was taken out of use.")
    if any(until is not None and until > now for until in (task["budget_spent_until"], task["key_budget_spent_until"])):
        return TaskError("budget_spent", "The budget of the month is spent, so no further model call is made.")
    return None


def _too_dear(money: Sequence[MoneyLimit], currency: str) -> TaskError | None:
    for one in money:
        if one.left <= 0:
            whose = "The task" if one.is_own else "The task that handed this one over, with all that it handed over,"
            cost, limit = (f"{amount.normalize():f} {currency}".strip() for amount in (one.spent, one.limit))
            return TaskError("cost_limit", f"{whose} cost {cost}; its agent's limit is {limit}.")
    return None


def _late(limits: Limits, *, task: Mapping[str, Any], now: datetime) -> TaskError | None:
    seconds = (now - task["created_at"]).total_seconds()
    if limits.max_seconds and seconds >= limits.max_seconds:
        return TaskError("time_limit", f"The task took {seconds:.0f} s; the agent's limit is {limits.max_seconds:g} s.")
    return None
