"""The pure parts: lines out of pieces, a tenant's share, ids."""

from __future__ import annotations

import json
import uuid
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.endpoints import ENDPOINTS
from batches.identifiers import BATCH, FILE, row_of, shown
from batches.jsonl import Splitter
from batches.lifecycle import OPEN, OUTCOMES, TRANSITIONS, BatchState, sources
from batches.runner.results import result_of
from batches.runner.share import fitting, pause_s, room, share


@given(
    lines=st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")), max_size=8),
    ends=st.booleans(),
    cuts=st.lists(st.integers(0, 100), max_size=6),
)
def test_lines_are_the_same_however_the_file_is_cut(lines: list[bytes], ends: bool, cuts: list[int]) -> None:
    data = b"\n".join([*lines, b"x"]) + (b"\n" if ends else b"")
    borders = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    splitter = Splitter(line_max=100, lines_max=100)
    found = [line for start, end in pairwise(borders) for line in splitter.push(data[start:end])]
    found += splitter.end()
    wanted = [(number, line) for number, line in enumerate(data.split(b"\n"), 1) if line.strip(b" \t\r")]
    assert [(line.number, line.data) for line in found] == wanted
    assert all(data[line.offset :].startswith(line.data) for line in found)
    assert all(line.offset == 0 or data[line.offset - 1 : line.offset] == b"\n" for line in found)


@pytest.mark.parametrize(
    ("limits", "sharing", "rooms"),
    [
        ((0, 0, 0, 0), 1, [256]),
        ((1000, 0, 0, 0), 1, [256]),
        ((20, 0, 0, 0), 3, [4, 3, 3]),
        ((1000, 7, 0, 0), 2, [2, 1]),
        ((1000, 0, 100, 8), 5, [1, 1, 1, 1, 0]),
        ((1, 0, 0, 0), 2, [1, 0]),
    ],
)
def test_batches_of_a_tenant_share_half_of_its_tightest_limit(
    limits: tuple[int, ...], sharing: int, rooms: list[int]
) -> None:
    assert [share(room(256, limits), nth=nth, sharing=sharing) for nth in range(sharing)] == rooms


@pytest.mark.parametrize(
    ("tasks", "free", "at_once", "is_first", "fits"),
    [
        ([1, 1, 1], 2, None, False, 2),
        ([1, 3, 1], 3, None, True, 1),  # in their order: the second one waits, and the third behind it
        ([2, 1, 1], 3, None, False, 2),
        ([8, 1], 4, None, False, 0),
        ([8, 1], 4, None, True, 1),  # there is never more room than now
        ([8, 8], 100, 8, False, 1),
        ([9, 1], 100, 8, False, 1),  # what is limited per minute is looked at in between
        ([], 4, None, True, 0),
    ],
)
def test_lines_of_several_tasks_go_as_there_is_room_for_all_of_them(
    tasks: list[int], free: int, at_once: int | None, is_first: bool, fits: int
) -> None:
    assert fitting(tasks, free=free, at_once=at_once, is_first=is_first) == fits


@pytest.mark.parametrize(
    ("remaining", "pause"), [((60, 1000), 0), ((30, 500), 0), ((29, 1000), 1), ((0, 1000), 30), ((60, 250), 15)]
)
def test_half_of_what_is_limited_per_minute_is_left(remaining: tuple[int, int], pause: float) -> None:
    headers = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": str(remaining[0]),
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": str(remaining[1]),
    }
    assert pause_s(headers) == pause
    assert pause_s({}) == 0


def test_an_answer_that_cannot_be_read_is_its_line_s_failure() -> None:
    """Else its batch would never end."""
    row: dict[str, Any] = {
        "id": uuid.uuid4(), "task": uuid.uuid4(), "custom_id": "a", "model": "m", "asked": {"encoding": "float"}, "failure": None,
        "state": "succeeded", "finish_reason": "stop", "error": None, "output": "no vectors", "logprobs": None, "tool_calls": None,
        "prompt_tokens": 1, "completion_tokens": 0, "cached_tokens": 0,
    }  # fmt: skip
    result = result_of([row], ENDPOINTS["/v1/embeddings"], stopped=None)
    response = json.loads(result.text)["response"]
    assert (result.is_answer, response["status_code"], response["body"]["error"]["code"]) == (False, 500, "bad_vectors")


def test_a_row_has_one_name() -> None:
    row = uuid.uuid4()
    assert row_of(FILE, shown(FILE, row)) == row
    for name in (str(row), shown(BATCH, row), shown(FILE, row).upper(), f"file-{row.hex}", "file-", ""):
        assert row_of(FILE, name) is None


def test_every_state_is_reached_and_outcomes_are_left_by_nothing() -> None:
    assert set().union(*TRANSITIONS.values()) == set(BatchState) - {BatchState.VALIDATING}
    assert set(BatchState) == OPEN | OUTCOMES
    assert sources(BatchState.CANCELLING) == ["in_progress", "validating"]
