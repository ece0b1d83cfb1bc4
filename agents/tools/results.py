"""What came of a call, as the model is told. Pure."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

RESULT_MAX = 32_000
"""Characters of a result that the model is given."""

SHOWN_MAX = 4_000
"""Characters of a result that go into the task's stream."""


class Result(NamedTuple):
    """`is_error`: the call failed, or was not made; `text` then says why, so that the model can do otherwise."""

    text: str
    is_error: bool = False


class CallFailed(Exception):
    """The call did not succeed; the sentence is for the model and for whoever reads the task.

    `sent`: whether the other side may have seen it.
    """

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


UNKNOWN = (
    "It is not known whether this call was made: whoever made it was lost in the middle. It was not repeated, since this tool is "
    "not declared idempotent. Find out by other means before you call it again."
)
"""Told of a call whose runner was lost."""


def bounded(text: str) -> str:
    """The text, cut where it is too long, and told so."""
    clean = text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
    if len(clean) <= RESULT_MAX:
        return clean
    return f"{clean[:RESULT_MAX]}\n[cut here: {len(clean)} characters in all]"


def event_of(call_id: str, name: str, result: Result) -> str:
    """The event `tool_result` of a call that is over, as JSON."""
    event = {"id": call_id, "name": name, "is_error": result.is_error, "result": result.text[:SHOWN_MAX]}
    return msgspec.json.encode(event).decode()
