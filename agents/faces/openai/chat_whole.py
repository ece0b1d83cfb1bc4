"""A chat completion as one answer."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from agents.faces import answers
from agents.faces.openai.errors import failure
from agents.faces.openai.following import followed, headers
from agents.faces.openai.outcome import Outcome, finish_reason, problem_of, usage
from agents.faces.submitted import Submitted
from agents.problems import stream_lost


async def whole(submitted: Submitted, created: int, model: str) -> Response:
    """Wait for the outcome: the answer, or why there is none."""
    pieces: list[str] = []
    outcome = Outcome("failed")
    subscription = followed(submitted)
    try:
        async for event in subscription:
            if event.kind == "restart":
                pieces.clear()
            elif event.kind == "text":
                pieces.append(msgspec.json.decode(event.data, type=str))
            elif event.kind == "outcome":
                outcome = msgspec.json.decode(event.data, type=Outcome)
    finally:
        await subscription.close()
    if subscription.lost:
        return failure(stream_lost())
    if outcome.state != "succeeded":
        return failure(problem_of(outcome))
    return answers.json(
        {
            "id": f"chatcmpl-{submitted.task}",
            "object": "chat.completion",
            "created": created,
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "".join(pieces), "refusal": None},
                    "logprobs": None,
                    "finish_reason": finish_reason(outcome),
                }
            ],
            "usage": usage(outcome),
        },
        headers=headers(submitted),
    )
