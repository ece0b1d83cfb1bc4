"""A submitted task whose answer this connection brings: its stream and its headers."""

from __future__ import annotations

from agents import waits
from agents.faces.submitted import Submitted
from agents.faces.tasks import recorded
from agents.lifecycle import OUTCOMES
from taskqueue.inbox import Subscription
from taskqueue.messages import Event


def followed(submitted: Submitted) -> Subscription:
    """Its stream."""
    if submitted.followed is None:
        raise RuntimeError("an answer in OpenAI's form follows its task")
    return submitted.followed


def headers(submitted: Submitted) -> dict[str, str]:
    """What the form of the answer has no room for."""
    return {"x-request-id": str(submitted.task), **submitted.headers, **waits.headers(submitted.place)}


def kept(submitted: Submitted) -> list[Event]:
    """The events of a task that had ended before it was asked for again, and whose log has left Redis; none of any other."""
    if submitted.row["state"] in OUTCOMES and followed(submitted).last == 0:
        return recorded(submitted.row, after=0)
    return []
