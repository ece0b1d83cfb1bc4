"""What is told of a response, and under which numbers, from its task's log alone."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from agents.faces.openai.response_events import Telling
from agents.faces.openai.response_form import Asked
from agents.problems import Problem, stream_lost
from taskqueue.messages import Event

TASK = uuid.UUID(int=7)
USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


def asked(*, background: bool = False) -> Asked:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Asked(TASK, at, "poet", None, None, None, background, True, {}, {"temperature": 0.5}, False, {})


def log(*entries: tuple[str, Any]) -> list[Event]:
    return [Event(str(TASK), seq, kind, json.dumps(data)) for seq, (kind, data) in enumerate(entries, 1)]  # type: ignore[arg-type]


def outcome(state: str, **more: Any) -> tuple[str, Any]:
    return "outcome", {"state": state, "usage": USAGE, **more}


WHOLE = log(
    ("state", {"state": "queued"}),
    ("state", {"state": "running", "attempt": 1}),
    ("text", "One "),
    ("state", {"state": "queued"}),
    ("state", {"state": "running", "attempt": 2}),
    ("attempt", {"attempt": 2, "reason": "worker_lost"}),
    ("text", ""),
    ("text", "two"),
    outcome("succeeded", finish_reason="stop"),
)


def read(told: bytes) -> list[dict[str, Any]]:
    """The events, each with its name in its line `event:` too."""
    events = []
    for block in told.decode().split("\n\n")[:-1]:
        kind, data = block.split("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        assert kind == f"event: {events[-1]['type']}"
    return events


def tell(events: list[Event], *, after: int = -1, background: bool = False) -> list[dict[str, Any]]:
    telling = Telling(asked(background=background), after=after)
    return read(telling.begin() + telling.take(events))


def test_each_reader_goes_on_behind_what_it_has() -> None:
    whole = tell(WHOLE, background=True)
    assert [event["sequence_number"] for event in whole] == list(range(11))
    assert [event["type"].removeprefix("response.") for event in whole] == [
        "created", "queued", "in_progress", "output_item.added", "content_part.added", "output_text.delta",
        "output_text.delta", "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    for after in range(-1, 12):
        assert tell(WHOLE, after=after, background=True) == whole[after + 1 :]
    one_by_one = Telling(asked(background=True))
    told = one_by_one.begin() + b"".join(one_by_one.take([event]) for event in WHOLE)
    assert read(told) == whole


@pytest.mark.parametrize(
    ("end", "kind", "status"),
    [
        (outcome("succeeded", finish_reason="length"), "response.incomplete", "incomplete"),
        (outcome("failed", error={"code": "engine_error", "message": "It broke."}), "response.failed", "failed"),
        (outcome("cancelled"), "response.failed", "cancelled"),
        (outcome("expired"), "response.failed", "failed"),
    ],
)
def test_other_ends(end: tuple[str, Any], kind: str, status: str) -> None:
    last = tell(log(("state", {"state": "queued"}), end))[-1]
    assert (last["type"], last["response"]["status"]) == (kind, status)
    assert (last["response"]["error"] is None) == (status in {"incomplete", "cancelled"})
    assert bool(last["response"]["output"]) == (status == "incomplete")


def test_a_log_that_began_anew_is_told_to_who_has_nothing_of_the_old_one() -> None:
    anew = [Event(str(TASK), 5, "restart", "{}"), *WHOLE]
    assert tell(anew) == tell(WHOLE)
    telling = Telling(asked(), after=4)
    telling.begin()
    with pytest.raises(Problem) as lost:
        telling.take(anew)
    assert lost.value.code == "stream_lost"
    running = Telling(asked())
    running.begin()
    running.take(WHOLE[:3])
    with pytest.raises(Problem):
        running.take(anew)
    (said,) = read(running.broken(stream_lost()))
    assert (said["type"], said["code"]) == ("error", "stream_lost")


def test_without_its_log_a_response_is_told_whole_or_to_its_end() -> None:
    kept = [Event(str(TASK), 1, "text", '"One two"'), Event(str(TASK), 9, "outcome", WHOLE[-1].data)]
    telling = Telling(asked())
    whole = read(telling.begin() + telling.take_kept(kept))
    assert [event["sequence_number"] for event in whole] == list(range(9))
    resumed = Telling(asked(), after=5)
    end = read(resumed.begin() + resumed.take_kept(kept))
    assert [event["sequence_number"] for event in end] == [6, 7, 8, 9]
    assert (end[0]["text"], end[-1]["response"]) == ("One two", whole[-1]["response"])


CALLS = [{"id": "call_a", "name": "now", "arguments": "{}"}, {"id": "call_b", "name": "later", "arguments": '{"by":1}'}]


@pytest.mark.parametrize("text", ["", "See."])
def test_calls_are_items_behind_the_message_if_there_is_one(text: str) -> None:
    said = [("text", text)] if text else []
    events = log(
        ("state", {"state": "running"}), *said, outcome("succeeded", finish_reason="tool_calls", tool_calls=CALLS)
    )
    whole = tell(events)
    items: list[Any] = [event["item"] for event in whole if event["type"] == "response.output_item.done"]
    assert whole[-1]["response"]["output"] == items
    assert [item["type"] for item in items] == ["message"] * bool(text) + ["function_call"] * 2
    assert [(item["call_id"], item["arguments"], item["status"]) for item in items[-2:]] == [
        ("call_a", "{}", "completed"),
        ("call_b", '{"by":1}', "completed"),
    ]
    deltas = [event for event in whole if event["type"] == "response.function_call_arguments.delta"]
    assert [(event["output_index"], event["delta"]) for event in deltas] == [
        (bool(text), "{}"),
        (1 + bool(text), '{"by":1}'),
    ]
    for after in range(-1, len(whole)):
        assert tell(events, after=after) == whole[after + 1 :]

    kept = events[1:]  # its log has gone
    telling = Telling(asked())
    assert [event["type"] for event in read(telling.begin() + telling.take_kept(kept))] == [
        event["type"] for event in whole
    ]
    resumed = Telling(asked(), after=5)
    end = read(resumed.begin() + resumed.take_kept(kept))
    assert [event["sequence_number"] for event in end] == list(range(6, 6 + len(end)))
    assert [event["item"] for event in end if event["type"] == "response.output_item.done"] == items
