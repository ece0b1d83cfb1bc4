"""Responses as they are stored: found by name, read to the present moment, continued."""

from __future__ import annotations

from typing import Any

import msgspec

from agents.context_settings import trims
from agents.faces import database
from agents.faces.context import Context
from agents.faces.database import Row
from agents.faces.openai.gathering import Gathering
from agents.faces.openai.outcome import Outcome, usage_of
from agents.faces.openai.response_form import Asked, Progress, task_of
from agents.faces.principals import Principal
from agents.lifecycle import OUTCOMES, TaskState
from agents.problems import FieldError, Problem, bad_field, not_found
from taskqueue.messages import ToolCall

PAGE = 1000


async def find(context: Context, principal: Principal, name: str) -> Row:
    """The tenant's response of that name, or 404."""
    row = await context.db.one(database.RESPONSE, principal.tenant, task_of(name))
    if row is None:
        raise not_found("response")
    return row


def asked_of(row: Row) -> Asked:
    """What does not change in a stored response's life."""
    return Asked(
        task=row["id"],
        created_at=row["created_at"],
        model=row["model"],
        instructions=row["instructions"],
        previous=row["previous"],
        conversation=row["conversation"],
        background=row["background"],
        stored=True,
        metadata=row["metadata"],
        params=row["params"],
        truncates=trims(row["options"]),
        asked=row["asked"],
    )


async def progress_of(context: Context, principal: Principal, row: Row) -> Progress:
    """How far it is now. Postgres comes a moment behind the log, and who was told of an outcome must not be told otherwise."""
    if row["state"] in OUTCOMES:
        return _recorded(row)
    gathering, after = Gathering(), 0
    while events := await context.hub.queue(row["pool"]).read_log(str(row["id"]), after=after, count=PAGE):
        for event in events:
            gathering.take(event)
        after = events[-1].seq
    if after == 0:  # it was recorded meanwhile, and its log has gone; or Redis knows nothing of it yet
        again = await context.db.one(database.RESPONSE, principal.tenant, row["id"])
        return _recorded(again or row)
    text, outcome, running, _ = gathering.gathered()
    return Progress(running=running, outcome=outcome, text=text)


def _recorded(row: Row) -> Progress:
    if row["state"] not in OUTCOMES:
        return Progress(running=row["state"] != TaskState.QUEUED)
    calls = msgspec.convert(row["tool_calls"] or (), tuple[ToolCall, ...])
    outcome = Outcome(row["state"], row["finish_reason"] or None, row["error"], usage_of(row), calls)
    return Progress(running=True, outcome=outcome, text=row["output"], ended_at=row["finished_at"])


async def context_behind(context: Context, principal: Principal, name: str) -> tuple[dict[str, Any], ...]:
    """The messages that whoever continues this response goes on from; the `Problem` names `previous_response_id`."""
    field = "previous_response_id"
    try:
        row = await find(context, principal, name)
    except Problem as problem:
        message = f"There is no response {name!r}."
        raise Problem(problem.status, problem.code, message, errors=(FieldError(field, message),)) from None
    progress = await progress_of(context, principal, row)
    if progress.outcome is None:
        raise bad_field(field, "that response has not ended yet; wait for it")
    if progress.outcome.state != "succeeded":
        raise bad_field(field, f"that response is {progress.outcome.state} and has no answer to go on from")
    said: list[dict[str, Any]] = row["input"][row["preface"] :]
    answer: dict[str, Any] = {"role": "assistant", "content": progress.text}
    if progress.outcome.tool_calls:
        answer["tool_calls"] = msgspec.to_builtins(progress.outcome.tool_calls)
    return (*said, answer)


async def delete(context: Context, principal: Principal, row: Row) -> None:
    """It can be neither retrieved nor continued any more. What continues it already goes on, and the task's record stays."""
    await context.db.run(database.DELETE_RESPONSE, principal.tenant, row["id"])
