"""Tool calls as models write them: what is shown, what is called, and that the pieces do not matter."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_worker.tool_calls import ToolCalls
from taskqueue.messages import ToolCall

TURN = "0198-aa"


def read(*pieces: str) -> tuple[str, list[ToolCall]]:
    calls = ToolCalls(TURN)
    shown = "".join(map(calls.push, pieces)) + calls.flush()
    return shown, calls.found


def call(name: str, **arguments: object) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


@pytest.mark.parametrize(
    ("text", "shown", "found"),
    [
        ("plain", "plain", []),
        ("a < b and <tool", "a < b and <tool", []),
        (f"Let me see. {call('weather', city='Oslo')}", "Let me see. ", [("weather", '{"city":"Oslo"}')]),
        (call("a") + call("b", n=1) + "!", "!", [("a", "{}"), ("b", '{"n":1}')]),
        ('<tool_call>{"name": "now"}</tool_call>', "", [("now", "{}")]),
        ('<tool_call>{"name": "now"}', "", [("now", "{}")]),
        ("<tool_call>not JSON</tool_call> yes", "<tool_call>not JSON</tool_call> yes", []),
        ('<tool_call>{"name": "cut', '<tool_call>{"name": "cut', []),
        ('<tool_call>["a"]</tool_call>', '<tool_call>["a"]</tool_call>', []),
    ],
)
def test_what_is_shown_and_what_is_called(text: str, shown: str, found: list[tuple[str, str]]) -> None:
    assert read(text) == (
        shown,
        [ToolCall(f"call_0198aa_{index}", name, arguments) for index, (name, arguments) in enumerate(found)],
    )


@given(
    st.lists(st.sampled_from(["x", "<", "<tool_call>", "</tool_call>", '{"name":"a"}', call("b", n="<tool_call>")])),
    st.randoms(),
)
def test_pieces_do_not_matter_nor_does_another_worker_in_the_middle(parts: list[str], dice: object) -> None:
    text = "".join(parts)
    cuts = sorted(dice.randint(0, len(text)) for _ in range(4))  # type: ignore[attr-defined]
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert read(*pieces) == read(text)
    first, second = ToolCalls(TURN), ToolCalls(TURN)
    before = first.push(text[: cuts[1]])
    assert second.push(text[: cuts[1]]) == before
    assert (before + second.push(text[cuts[1] :]) + second.flush(), second.found) == read(text)
