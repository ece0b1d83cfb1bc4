"""A task that waits between its turns goes on, or ends. Whoever does it twice does it once: the task's row is locked."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
from django.conf import settings

from agents.faces.context import Context
from agents.faces.database import Connection
from agents.lifecycle import ENDED_CALLS, CallState, TaskState
from agents.money import MoneyLimit, allowance
from agents.runner import statements
from agents.runner.step import End, Next, Wait, next_step
from agents.submissions import body_of, submission
from agents.summaries import Plan, replaced
from agents.tools.results import Result, event_of
from taskqueue.async_client import AsyncQueue
from taskqueue.messages import Allowance, Submission
from telemetry import logs
from tenants.identifiers import new_id

log = logging.getLogger(__name__)


async def advance(context: Context, task: uuid.UUID) -> None:
    """Enqueue its next turn if all calls of its last one are over; end it if it is over a limit.

    The turn is committed before it is enqueued; one whose enqueue was not heard the sweep brings back.
    """
    with logs.about(task=task):
        await _advance(context, task)


async def _advance(context: Context, task: uuid.UUID) -> None:
    async with context.db.connection() as connection, connection.transaction():
        await connection.execute(statements.LOCK_CONVERSATION, [task])
        row = await (await connection.execute(statements.LOCK, [task])).fetchone()
        if row is None:
            return
        logs.note(tenant=row["tenant"], trace=row["trace"])
        turns = await (await connection.execute(statements.TURNS, [task])).fetchall()
        calls = await (await connection.execute(statements.CALLS, [turns[-1]["id"]])).fetchall()
        money: list[MoneyLimit] = []
        if row["may_cost"]:
            limits = await (await connection.execute(statements.MONEY, {"task": task})).fetchall()
            money = [MoneyLimit(**limit) for limit in limits]
        step = next_step(
            task=row, turn=turns[-1], calls=calls, now=row["now"], money=money, currency=settings.OPSITE_CURRENCY
        )
        queue = context.hub.queue(row["pool"])
        if not isinstance(step, Wait):
            # Whoever wrote a result may have been killed before it was told. Before the commit: after it the task waits no more.
            await _tell(queue, str(task), calls)
        turn = new_id()
        if isinstance(step, Next):
            asked = await _remembered(connection, row, turns[-1])
            messages = [*asked, *(message for one in turns for message in one["context"]), *step.context]
            allowed = allowance([one.left for one in money], prices=row["token_prices"], now=row["now"])
            # What cannot be made is not committed.
            following = submission_of(row, turn=turn, messages=messages, allowed=allowed)
            values = {"turn": turn, "tenant": row["tenant"], "task": task, "number": step.number}
            encoded = {"context": _json(step.context), "allowance": None if allowed is None else _json(allowed)}
            await connection.execute(statements.NEXT_TURN, {**values, **encoded})
    log.debug("task %s: %s", task, type(step).__name__)
    if isinstance(step, End):
        await queue.end_task(str(task), turn=str(turns[-1]["id"]), state=step.state, error=step.error)
    elif isinstance(step, Next):
        await queue.restart([str(task)])  # where Redis has lost the log its readers are told so
        await queue.enqueue([following])


async def _tell(queue: AsyncQueue, task: str, calls: Sequence[dict[str, Any]]) -> None:
    """The results in the task's stream, each once, whoever told of it before."""
    for call in calls:
        if (state := CallState(call["state"])) in ENDED_CALLS:
            result = Result(call["result"], is_error=state == CallState.FAILED)
            event = event_of(call["call_id"], call["name"], result)
            await queue.note(task, "tool_result", event, once=call["call_id"])


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


async def _remembered(connection: Connection, row: dict[str, Any], turn: dict[str, Any]) -> list[dict[str, Any]]:
    """The task's input: behind the turn that wrote a summary with that in it, which the conversation keeps. Of one that failed the
    task goes on as if there had been none; its event has said so.
    """
    asked: list[dict[str, Any]] = row["input"]
    text = turn["output"].strip()
    if turn["summarises"] is None or turn["state"] != TaskState.SUCCEEDED or not text:
        return asked
    plan = msgspec.convert(turn["summarises"], Plan)
    kept = {"summary": new_id(), "turn": turn["id"], "messages": plan.count, "text": text, "last": plan.last}
    await connection.execute(statements.KEEP_SUMMARY, {**kept, "tenant": row["tenant"]})
    asked = replaced(asked, plan, text)
    await connection.execute(statements.SET_INPUT, [msgspec.json.encode(asked).decode(), row["id"]])
    return asked


def submission_of(
    row: dict[str, Any], *, turn: uuid.UUID, messages: list[dict[str, Any]], allowed: Allowance | None
) -> Submission:
    """The turn of a task as the queue takes it. `row`: what a task needs for it, as `statements.LOCK` has it."""
    body = body_of(messages, row["params"], row["options"], output_form=row["output_form"])
    return submission(
        turn=str(turn),
        task=str(row["id"]),
        tenant=str(row["tenant"]),
        key=str(row["key"] or ""),
        body=msgspec.structs.replace(body, allowance=allowed),
        weight=row["weight"],
        max_running=row["max_running"],
        key_max_running=row["key_max_running"],
        priority=row["priority"],
        deadline_ms=round(row["deadline_at"].timestamp() * 1000) if row["deadline_at"] else 0,
        answer_tokens=row["answer_tokens"],
        trace=row["trace"],
    )
