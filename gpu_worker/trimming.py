"""Which messages are left out where not all of them fit. Pure.

Messages go as groups, the oldest first, so that what is left is a conversation still. A question goes with what was answered to it,
since many chat templates want to begin with a user's message; behind the last question each answer is a group of its own with the
results of its tool calls. No group goes that has the last question in it, or one of the last messages. System messages all stay.

What is left is a function of the messages and the counts alone, so another worker with the same model leaves out the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from taskqueue.messages import ChatMessage

Count = Callable[[tuple[ChatMessage, ...]], int]
"""The tokens of a prompt that is made of these messages."""

SYSTEM = frozenset({"system", "developer"})


class Trimmed(NamedTuple):
    """The messages that are left, in their order, and the tokens of their prompt."""

    messages: tuple[ChatMessage, ...]
    tokens: int


def trimmed(messages: Sequence[ChatMessage], *, count: Count, most: int, keep_last: int = 1) -> Trimmed:
    """As few left out as make the prompt have `most` tokens. If none do, the fewest messages that may be sent.

    A count may be as costly as rendering the whole prompt, so for n groups there are about log2(n) counts: fewer messages are taken
    to make a shorter prompt. `keep_last`, at least 1: so many of the last messages stay.
    """
    groups = droppable(messages, keep_last=keep_last)

    def without(number: int) -> Trimmed:
        gone = {index for group in groups[:number] for index in group}
        left = tuple(message for index, message in enumerate(messages) if index not in gone)
        return Trimmed(left, count(left))

    whole = without(0)
    if whole.tokens <= most or not groups:
        return whole
    best, low, high = without(len(groups)), 1, len(groups)
    if best.tokens > most:
        return best
    while low < high:  # `best` is without `high` groups, and fits; without `low - 1` they do not fit
        middle = (low + high) // 2
        fewer = without(middle)
        if fewer.tokens <= most:
            best, high = fewer, middle
        else:
            low = middle + 1
    return best


def droppable(messages: Sequence[ChatMessage], *, keep_last: int = 1) -> list[list[int]]:
    """The groups that may be left out, the oldest first, as indices of their messages."""
    last_asked = max((index for index, message in enumerate(messages) if message.role == "user"), default=-1)
    stays = {last_asked, *range(max(0, len(messages) - keep_last), len(messages))}
    return [group for group in _groups(messages, last_asked) if stays.isdisjoint(group)]


def _groups(messages: Sequence[ChatMessage], last_asked: int) -> list[list[int]]:
    groups: list[list[int]] = []
    makers: dict[str, int] = {}
    """The group in which a call was made, by the call's id."""
    for index, message in enumerate(messages):
        if message.role in SYSTEM:
            continue
        begins = message.role == "user" or (message.role == "assistant" and index > last_asked)
        if begins or not groups:
            groups.append([])
        groups[-1].append(index)
        makers |= {call.id: len(groups) - 1 for call in message.tool_calls}
        maker = makers.get(message.tool_call_id, len(groups) - 1) if message.role == "tool" else len(groups) - 1
        if maker < len(groups) - 1:  # a result that came late: what lies between goes with it
            groups[maker:] = [[one for group in groups[maker:] for one in group]]
            makers = {call: min(place, maker) for call, place in makers.items()}
    return groups
