"""Which messages are left out: for any conversation, any sizes and any limit."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_worker.trimming import SYSTEM, droppable, trimmed
from taskqueue.messages import ChatMessage, ToolCall

WORD = "x "


@st.composite
def conversations(draw: st.DrawFn) -> list[ChatMessage]:
    """Messages as clients send them; those of tools answer calls that were made before them, at once or later."""
    messages: list[ChatMessage] = []
    open_calls: list[str] = []
    for number in range(draw(st.integers(1, 24))):
        kinds = ["system", "user", "assistant", "calls", *(["tool"] if open_calls else [])]
        kind = draw(st.sampled_from(kinds))
        content = f"{number} " + WORD * draw(st.integers(0, 20))
        if kind == "calls":
            made = [f"call-{number}-{one}" for one in range(draw(st.integers(1, 3)))]
            open_calls += made
            calls = tuple(ToolCall(one, "f", "{}") for one in made)
            messages.append(ChatMessage("assistant", content, tool_calls=calls))
        elif kind == "tool":
            answered = open_calls.pop(draw(st.integers(0, len(open_calls) - 1)))
            messages.append(ChatMessage("tool", content, tool_call_id=answered))
        else:
            messages.append(ChatMessage(kind, content))
    return messages


def tokens(messages: Sequence[ChatMessage]) -> int:
    return sum(2 + len(message.content.split()) for message in messages)


def without_oldest(messages: Sequence[ChatMessage], number: int, keep_last: int) -> tuple[ChatMessage, ...]:
    gone = {index for group in droppable(messages, keep_last=keep_last)[:number] for index in group}
    return tuple(message for index, message in enumerate(messages) if index not in gone)


@given(conversations(), st.integers(0, 400), st.integers(1, 5))
def test_what_is_left_is_a_conversation_still(messages: list[ChatMessage], most: int, keep_last: int) -> None:
    left = trimmed(messages, count=tokens, most=most, keep_last=keep_last)
    assert left.tokens == tokens(left.messages)
    kept = iter(messages)
    assert all(message in kept for message in left.messages)  # in their order
    gone = [message for message in messages if message not in left.messages]
    assert not [message for message in gone if message.role in SYSTEM]
    assert not [message for message in messages[-keep_last:] if message in gone]
    if asked := [message for message in messages if message.role == "user"]:
        assert asked[-1] in left.messages
    made = {call.id for message in left.messages for call in message.tool_calls}
    answered = {message.tool_call_id for message in left.messages if message.role == "tool"}
    assert answered <= made  # no result is left without its call
    for message in gone:
        assert not made & {message.tool_call_id}  # and no call without the result that it had


@given(conversations(), st.integers(0, 400), st.integers(1, 5))
def test_as_few_as_possible_are_left_out(messages: list[ChatMessage], most: int, keep_last: int) -> None:
    left = trimmed(messages, count=tokens, most=most, keep_last=keep_last)
    ways = [
        without_oldest(messages, number, keep_last)
        for number in range(len(droppable(messages, keep_last=keep_last)) + 1)
    ]
    assert left.messages == next((way for way in ways if tokens(way) <= most), ways[-1])


@given(conversations(), st.integers(0, 400), st.randoms())
def test_what_fits_is_counted_also_where_shorter_is_not_fewer(
    messages: list[ChatMessage], most: int, random: object
) -> None:
    """A chat template may do as it likes: what is said to fit was counted."""
    sizes: dict[tuple[ChatMessage, ...], int] = {}

    def count(left: tuple[ChatMessage, ...]) -> int:
        return sizes.setdefault(left, random.randint(0, 400))  # type: ignore[attr-defined]

    left = trimmed(messages, count=count, most=most)
    assert left.tokens == sizes[left.messages]
    assert left.tokens <= most or left.messages == without_oldest(messages, len(messages), 1)


@pytest.mark.parametrize(("questions", "most_counts"), [(1, 2), (1000, 13), (100_000, 20)])
def test_counts_grow_with_the_logarithm(questions: int, most_counts: int) -> None:
    messages = [ChatMessage("user", f"{number}") for number in range(questions)]
    counts = 0

    def count(left: tuple[ChatMessage, ...]) -> int:
        nonlocal counts
        counts += 1
        return len(left)

    left = trimmed(messages, count=count, most=max(1, questions // 3))
    assert (len(left.messages), counts <= most_counts) == (max(1, questions // 3), True)


def test_rounds_of_tools_go_whole_and_the_question_stays() -> None:
    def round_of(number: int) -> list[ChatMessage]:
        call = ToolCall(f"c{number}", "f", "{}")
        return [
            ChatMessage("assistant", f"round {number}", tool_calls=(call,)),
            ChatMessage("tool", f"result {number}", tool_call_id=call.id),
        ]

    messages = [
        ChatMessage("system", "be brief"),
        ChatMessage("user", "an old question"),
        ChatMessage("assistant", "an old answer"),
        ChatMessage("user", "the question"),
        *round_of(1),
        *round_of(2),
        *round_of(3),
    ]
    left = trimmed(messages, count=len, most=6)
    assert [message.content for message in left.messages] == [
        "be brief", "the question", "round 2", "result 2", "round 3", "result 3",
    ]  # fmt: skip
    assert len(trimmed(messages, count=len, most=0).messages) == 4  # what the model is to react to stays
