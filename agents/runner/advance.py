"""A task that waits between its turns goes on, or ends. Whoever does it twice does it once: the task's row is locked."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from agents.faces.context import Context
from agents.runner import statements
from agents.runner.step import End, Next, next_step
from agents.submissions import body_of, submission
from taskqueue.messages import Submission
from tenants.identifiers import new_id


async def advance(context: Context, task: uuid.UUID) -> None:
    """Enqueue its next turn if all calls of its last one are over; end it if it is over a limit.

    The turn is committed before it is enqueued; one whose enqueue was not heard the sweep brings back.
    """
    async with context.db.connection() as connection, connection.transaction():
        row = await (await connection.execute(statements.LOCK, [task])).fetchone()
        if row is None:
            return
        turns = await (await connection.execute(statements.TURNS, [task])).fetchall()
        calls = await (await connection.execute(statements.CALLS, [turns[-1]["id"]])).fetchall()
        step = next_step(task=row, turn=turns[-1], calls=calls, now=row["now"])
        turn = new_id()
        if isinstance(step, Next):
            messages = [*row["input"], *(message for one in turns for message in one["context"]), *step.context]
            following = submission_of(row, turn=turn, messages=messages)  # what cannot be made is not committed
            values = {"turn": turn, "tenant": row["tenant"], "task": task, "number": step.number}
            context_json = msgspec.json.encode(step.context).decode()
            await connection.execute(statements.NEXT_TURN, {**values, "context": context_json})
    queue = context.hub.queue(row["pool"])
    if isinstance(step, End):
        await queue.end_task(str(task), turn=str(turns[-1]["id"]), state=step.state, error=step.error)
    elif isinstance(step, Next):
        await queue.restart([str(task)])  # where Redis has lost the log its readers are told so
        await queue.enqueue([following])


def submission_of(row: dict[str, Any], *, turn: uuid.UUID, messages: list[dict[str, Any]]) -> Submission:
    """The turn of a task as the queue takes it. `row`: what a task needs for it, as `statements.LOCK` has it."""
    return submission(
        turn=str(turn),
        task=str(row["id"]),
        tenant=str(row["tenant"]),
        key=str(row["key"] or ""),
        body=body_of(messages, row["params"], row["options"], output_form=row["output_form"]),
        weight=row["weight"],
        max_running=row["max_running"],
        key_max_running=row["key_max_running"],
        priority=row["priority"],
        deadline_ms=round(row["deadline_at"].timestamp() * 1000) if row["deadline_at"] else 0,
        answer_tokens=row["answer_tokens"],
    )
