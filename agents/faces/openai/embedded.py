"""Texts as vectors, by a task of the fair queue as any other: submitted here, and waited for. For all who want the vectors at
once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from agents.faces.context import Context
from agents.faces.database import Row
from agents.faces.openai.outcome import Outcome, problem_of
from agents.faces.principals import AgentRef, Principal
from agents.faces.requests import TaskRequest
from agents.faces.submit import find, submit_to
from agents.faces.submitted import Submitted
from agents.lifecycle import OUTCOMES
from agents.problems import Problem, stream_lost
from taskqueue.vectors import BadVectors, strings

RECORDED_AFTER_S = 15.0
"""A stream that is silent for so long may be that of a task whose log has left Redis: then Postgres has its outcome."""


class Embedded(NamedTuple):
    """One vector for each text, in base64 (`taskqueue.vectors`). `truncated`: at least one text was cut."""

    vectors: list[str]
    prompt_tokens: int
    truncated: bool


async def submit_texts(
    context: Context,
    principal: Principal,
    agent: AgentRef,
    texts: Sequence[str],
    *,
    truncate: bool = False,
    priority: int = 5,
    idempotency_key: str | None = None,
    cancel_on_disconnect: bool | UnsetType = UNSET,
) -> Submitted:
    """Accept the task, followed; raises the `Problem` that refuses it. `embedded` brings its answer, and has to be called."""
    request = TaskRequest(
        agent=agent.slug,
        embed=list(texts),
        truncate=truncate,
        priority=priority,
        idempotency_key=idempotency_key,
        cancel_on_disconnect=cancel_on_disconnect,
    )
    return await submit_to(context, principal, agent, request, follow=True)


async def embedded(context: Context, principal: Principal, submitted: Submitted) -> Embedded:
    """Wait for the task's answer. Raises the `Problem` that its failure is, 503 where its stream was lost or given up."""
    outcome, answer = await _ended(context, principal, submitted)
    if outcome.state != "succeeded":
        raise problem_of(outcome)
    try:
        return Embedded(strings(answer), outcome.usage.get("prompt_tokens", 0), outcome.finish_reason == "length")
    except BadVectors as error:
        raise Problem(500, "bad_vectors", f"The model's answer cannot be read: {error}") from error


async def _ended(context: Context, principal: Principal, submitted: Submitted) -> tuple[Outcome, str]:
    stream = submitted.followed
    if stream is None:
        raise RuntimeError("an embedding follows its task")
    pieces: list[str] = []
    try:
        if submitted.row["state"] in OUTCOMES:  # an equal request was answered before
            return _recorded(submitted.row)
        while not stream.ended:
            events = await stream.batch(timeout_s=RECORDED_AFTER_S)
            for event in events:
                if event.kind == "restart":
                    pieces.clear()
                elif event.kind == "text":
                    pieces.append(msgspec.json.decode(event.data, type=str))
                elif event.kind == "outcome":
                    return msgspec.json.decode(event.data, type=Outcome), "".join(pieces)
            if not events and not stream.ended:
                row = await find(context, principal, str(submitted.task))
                if row["state"] in OUTCOMES:
                    return _recorded(row)
    finally:
        await stream.close()
    raise stream_lost()


def _recorded(row: Row) -> tuple[Outcome, str]:
    """The outcome as Postgres has it."""
    usage = {"prompt_tokens": row["prompt_tokens"], "completion_tokens": row["completion_tokens"]}
    return Outcome(row["state"], row["finish_reason"] or None, row["error"], usage), row["output"]
