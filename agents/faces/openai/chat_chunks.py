"""A chat completion as a stream of chunks.

A text event's data is a JSON string literal already, so a chunk is the task's prefix, that literal, and a suffix.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from agents.faces import leaving
from agents.faces.context import Context
from agents.faces.openai.errors import error_body
from agents.faces.openai.following import followed
from agents.faces.openai.outcome import Outcome, finish_reason, problem_of, usage
from agents.faces.submitted import Submitted
from agents.problems import Problem, stream_lost
from taskqueue.messages import Event

KEEP_ALIVE_S = 15.0


class Chunk(Protocol):
    """Formats one chunk of a stream: `delta` and `finish_reason` are JSON text."""

    def __call__(self, delta: str, finish_reason: str = "null") -> bytes: ...


def _formatter(submitted: Submitted, created: int, model: str) -> Chunk:
    head = msgspec.json.encode(
        {"id": f"chatcmpl-{submitted.task}", "object": "chat.completion.chunk", "created": created, "model": model}
    ).decode()[:-1]
    prefix = f'data: {head},"choices":[{{"index":0,"delta":'

    def chunk(delta: str, finish_reason: str = "null") -> bytes:
        return f'{prefix}{delta},"logprobs":null,"finish_reason":{finish_reason}}}]}}\n\n'.encode()

    return chunk


async def chunks(
    context: Context, submitted: Submitted, created: int, model: str, *, include_usage: bool
) -> AsyncIterator[bytes]:
    """The answer's chunks as they come, to `[DONE]`."""
    subscription = followed(submitted)
    chunk = _formatter(submitted, created, model)
    try:
        yield chunk('{"role":"assistant","content":""}')
        while not subscription.ended:
            events = await subscription.batch(timeout_s=KEEP_ALIVE_S)
            if subscription.lost or any(event.kind == "restart" for event in events):
                # This form of a stream has no word for "forget what you have read": the client must ask again.
                yield _broken(stream_lost())
                return
            pieces = [
                chunk(f'{{"content":{event.data}}}') for event in events if event.kind == "text" and event.data != '""'
            ]
            if events and events[-1].kind == "outcome":
                pieces.append(_ending(events[-1], chunk, submitted, created, model, include_usage=include_usage))
            if pieces or not events:
                yield b"".join(pieces) if pieces else b": keep-alive\n\n"
    finally:
        try:
            if subscription.abandoned:
                await leaving.end(context, [submitted])
        finally:
            await subscription.close()


def _ending(
    event: Event,
    chunk: Chunk,
    submitted: Submitted,
    created: int,
    model: str,
    *,
    include_usage: bool,
) -> bytes:
    outcome = msgspec.json.decode(event.data, type=Outcome)
    if outcome.state != "succeeded":
        return _broken(problem_of(outcome))
    ending = chunk("{}", f'"{finish_reason(outcome)}"')
    if include_usage:
        ending += b"data: " + msgspec.json.encode(
            {
                "id": f"chatcmpl-{submitted.task}",
                "object": "chat.completion.chunk",
                "created": created,
                "model": model,
                "choices": [],
                "usage": usage(outcome),
            }
        ) + b"\n\n"  # fmt: skip
    return ending + b"data: [DONE]\n\n"


def _broken(problem: Problem) -> bytes:
    return b"data: " + msgspec.json.encode(error_body(problem)) + b"\n\ndata: [DONE]\n\n"
