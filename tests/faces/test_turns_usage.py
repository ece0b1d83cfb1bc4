"""What a call says of its usage, where a task had several turns. Pure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agents.faces.openai.gathering import Gathering
from agents.faces.openai.outcome import Outcome, Turns, usage
from agents.faces.openai.response_form import Asked, Progress, shown
from agents.faces.tasks import recorded
from taskqueue.messages import Event
from tests.faces.test_response_events import asked

TURN = {"prompt_tokens": 10, "completion_tokens": 2, "cached_tokens": 0}


def log(*entries: tuple[str, Any]) -> list[Event]:
    return [Event("t", seq, kind, json.dumps(data)) for seq, (kind, data) in enumerate(entries, 1)]  # type: ignore[arg-type]


def test_the_turns_before_the_last_count() -> None:
    last = {"prompt_tokens": 20, "completion_tokens": 3, "cached_tokens": 16}
    events = log(
        ("text", "I look."),
        ("tool_calls", {"tool_calls": [], "usage": TURN}),
        ("restart", {}),  # what was read of the turns before was read all the same
        ("tool_calls", {"tool_calls": [], "usage": TURN}),
        ("text", "Rain."),
        ("outcome", {"state": "succeeded", "usage": last}),
    )
    gathering = Gathering()
    for event in events:
        gathering.take(event)
    text, outcome, *_ = gathering.gathered()
    assert outcome is not None
    assert (text, usage(outcome)) == (
        "Rain.",
        {
            "prompt_tokens": 40,
            "completion_tokens": 7,
            "total_tokens": 47,
            "prompt_tokens_details": {"cached_tokens": 16},
        },
    )
    of_call: Asked = asked()
    told = shown(of_call, Progress(running=True, outcome=outcome, text=text))["usage"]
    assert (told["input_tokens"], told["output_tokens"], told["total_tokens"]) == (40, 7, 47)
    assert told["input_tokens_details"]["cached_tokens"] == 16


def test_each_choice_counts_its_own_turns() -> None:
    turns = [Turns(), Turns()]
    turns[0].take_calls(json.dumps({"tool_calls": [], "usage": TURN}))
    end = json.dumps({"state": "succeeded", "usage": {"prompt_tokens": 5, "completion_tokens": 1}})
    outcomes = [one.outcome(end) for one in turns]
    assert [usage(one)["total_tokens"] for one in outcomes] == [18, 6]
    assert usage(*outcomes) == {"prompt_tokens": 20, "completion_tokens": 4, "total_tokens": 24}
    assert usage(Outcome("failed")) == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


@pytest.mark.parametrize("after", [0, 3])
def test_what_is_recorded_has_its_calls(after: int) -> None:
    calls = [{"id": "c1", "name": "look", "arguments": "{}"}]
    row = {
        "id": "t", "state": "succeeded", "finish_reason": "tool_calls", "error": None, "output": "", "tool_calls": calls,
        "prompt_tokens": 9, "completion_tokens": 4, "cached_tokens": 8,
    }  # fmt: skip
    told = json.loads(recorded(row, after=after)[-1].data)
    assert told == {
        "state": "succeeded",
        "finish_reason": "tool_calls",
        "tool_calls": calls,
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "cached_tokens": 8},
    }
