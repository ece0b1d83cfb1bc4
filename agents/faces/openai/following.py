"""A submitted task whose answer this connection brings: its stream, its headers, and its client that may leave."""

from __future__ import annotations

from starlette.requests import Request

from agents import waits
from agents.faces import answers
from agents.faces.submitted import Submitted
from taskqueue.inbox import Subscription


def followed(submitted: Submitted) -> Subscription:
    """Its stream."""
    if submitted.followed is None:
        raise RuntimeError("an answer in OpenAI's form follows its task")
    return submitted.followed


def headers(submitted: Submitted) -> dict[str, str]:
    """What the form of the answer has no room for."""
    return {"x-request-id": str(submitted.task), **submitted.headers, **waits.headers(submitted.place)}


async def abandon_when_left(request: Request, stream: Subscription) -> None:
    """Wait until the client has gone, and stop following then."""
    await answers.until_left(request.receive)
    stream.abandon()
